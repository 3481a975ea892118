import numpy as np

from functions.cross_validation.out_of_fold import scores
from functions.learning_curves.figure import plot_learning_curves
from functions.learning_curves.methods import METHODS
from tests.functions.learning_curves.test_verdicts import curves  # noqa: F401


def test_each_method_is_a_line_through_its_aurocs_and_four_numbers_are_in_every_panel(curves):  # noqa: F811
    figure = plot_learning_curves(curves, "PHANTOM")
    assert [axis.get_title() for axis in figure.axes] == ["networks from scratch", "without a network"]
    names = [[text.get_text() for text in axis.get_legend().get_texts()] for axis in figure.axes]
    four = METHODS["four_numbers"].title
    assert sorted(names[0]) == sorted([four, "ViT from scratch", "ResNet-18 from scratch"])
    assert names[1] == [four]
    drawn = {line.get_label(): line.lines[0].get_xydata() for line in figure.axes[0].containers}
    points = drawn["ViT from scratch"]
    expected = [scores(curves["vit", size].found)["auroc_disease"].value for size in (5, 0)]
    assert points[:, 1].tolist() == expected
    assert np.allclose(points[:, 0], [5, 20.67], rtol=0.05)
    assert figure.get_suptitle() == "PHANTOM"
