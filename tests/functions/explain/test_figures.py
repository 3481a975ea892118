import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from functions.explain.figures import draw_positions, figure_6, figure_7
from tests.functions.explain.conftest import KINDS


def test_figure_6_has_a_row_for_each_method_and_says_what_fails():
    images, maps = torch.rand(3, 1, 8, 15), {"attention": torch.rand(3, 2, 3), "rollout": torch.rand(3, 2, 3)}
    caveats = {"attention": ["", "fails the deletion test", ""], "rollout": ["", "", "fails the insertion test"]}
    figure = figure_6(images, ["AD 80%\ntrue: CN", "b", "$c"], maps, caveats)
    labels = np.array([axis.get_xlabel().replace("\n", " ") for axis in figure.axes]).reshape(3, 3).tolist()
    assert labels == [["AD 80% true: CN", "b", "$c"],
                      ["passes all tests", "fails the deletion test", "passes all tests"],
                      ["passes all tests", "passes all tests", "fails the insertion test"]]
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["slice", "attention", "rollout"]
    red = [axis.xaxis.label.get_color() != "black" for axis in figure.axes]
    assert red == ["fails" in axis.get_xlabel() for axis in figure.axes]
    figure.canvas.draw()


@pytest.mark.parametrize("kind", KINDS)
def test_figure_7_of_every_network(kind, make, pictures):
    figure = figure_7(make(kind), pictures(kind), "demo $")
    titles = [axis.get_title().replace("\n", " ") for axis in figure.axes[:3]]
    stem = "the stem's" if kind == "hybrid" else "the patch-embedding"
    count = {"hybrid": 28, "torchvision": 11}.get(kind, 11)
    assert titles == [f"First {count} principal components of {stem} filters", "Position embedding similarity",
                      "Mean attention distance"]
    points = figure.axes[2].collections[0].get_offsets()
    assert len(points) == 6
    assert sorted(set(points[:, 0].tolist())) == [1, 2, 3]
    figure.canvas.draw()


def test_a_large_grid_of_positions_is_thinned_and_stays_upright():
    """Of 9×5 patches 7×5 are shown; each small map is brightest where its own patch is."""
    axis = Figure().subplots()
    similarity = torch.eye(45).view(9, 5, 9, 5)
    draw_positions(axis.figure, axis, similarity)
    drawn = np.ma.filled(axis.images[0].get_array(), 0)
    assert drawn.shape == (7 * 10 - 1, 5 * 6 - 1)
    assert [int(label.get_text()) for label in axis.get_yticklabels()] == [1, 2, 4, 5, 6, 8, 9]
    assert [int(label.get_text()) for label in axis.get_xticklabels()] == [1, 2, 3, 4, 5]
    places = [(10 * i + row - 1, 6 * j + j) for i, row in enumerate((1, 2, 4, 5, 6, 8, 9)) for j in range(5)]
    assert sorted(zip(*map(list, np.nonzero(drawn == 1)), strict=True)) == sorted(places)
