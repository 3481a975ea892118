import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.evaluate import evaluate
from functions.evaluation.evaluation import Score
from functions.reports.evaluation_plots import (
    main_figures,
    more_figures,
    plot_reliability,
    plot_roc,
    plot_score_by_stage,
)
from tests.functions.evaluation.cohorts import NAMES, predictions


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_curve_and_its_auroc_stand_beside_each_other():
    generator = np.random.default_rng(0)
    positive = generator.random(60) < 0.4
    score = np.round(generator.normal(size=60) + positive, 1)           # with ties
    expected = roc_auc_score(positive, score)
    figure = plot_roc({"demented or not": (score, positive, Score(expected, 0.12, 0.34))}, "patients")
    [axis] = figure.axes
    alarms, hits = axis.lines[1].get_xydata().T
    assert np.trapezoid(hits, alarms) == pytest.approx(expected)
    assert legend(figure) == [f"demented or not: AUROC {expected:.3f} [0.120 to 0.340]", "chance: AUROC 0.500"]
    assert figure.get_suptitle() == "patients"
    curves = {"x": (score, positive, Score(expected)), "y" * 40: (-score, positive, Score(1 - expected))}
    figure = plot_roc(curves, "slices")
    assert legend(figure)[0] == f"x: AUROC {expected:.3f}"
    assert re.match(rf"y+…y+:\nAUROC {1 - expected:.3f}$", legend(figure)[1])
    one, other = (line for line in figure.axes[0].lines[1:])
    assert (one.get_color(), one.get_linestyle()) != (other.get_color(), other.get_linestyle())


def test_reliability_and_stage_show_what_they_are_given():
    figure = plot_reliability({"before": [(0.5, 0.4, 10), (0.9, 0.7, 30)], "after": [(0.6, 0.6, 40)]}, "test")
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.5, 0.4], [0.9, 0.7]]
    stage, labels = np.array([0.1, 0.3, 1.2, 1.8]), np.array([0, 0, 1, 1])
    axis = plot_score_by_stage(stage, labels, ["CN", "AD"], "stages").axes[0]
    shown = np.concatenate([collection.get_offsets()[:, 1] for collection in axis.collections
                            if len(collection.get_offsets()) == 2])
    assert sorted(shown) == sorted(stage)
    assert len(axis.collections) == 2, "no medians of two people"
    many = plot_score_by_stage(np.tile(stage, 3), np.tile(labels, 3), ["CN", "AD"], "stages").axes[0]
    assert len(many.collections) == 4
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["CN", "AD"]


def ticks(figure):
    return [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


def test_figures_are_in_stage_order_and_their_titles_say_what_they_show():
    test = predictions()
    found = evaluate(test, NAMES[1], [1, 2, 0], val=predictions("val"), permutations=9)
    staged = [NAMES[1], NAMES[2], NAMES[0]]
    main, more = main_figures(found, test, ["LEAKY SPLIT"]), more_figures(found, test, ["LEAKY SPLIT"])
    assert (list(main), list(more)) == (["roc.png", "confusion_patients.png"],
                                        ["stages.png", "reliability.png", "confusion_slices.png"])
    titles = {name: figure.get_suptitle() for name, (figure, _) in (main | more).items()}
    assert titles == {"roc.png": "ROC of 40 test patients\nLEAKY SPLIT",
                      "confusion_patients.png": "Confusion matrix of 40 test patients\n(rows: true class)\nLEAKY SPLIT",
                      "confusion_slices.png": "Confusion matrix of 200 test slices\n(rows: true class)\nLEAKY SPLIT",
                      "stages.png": "Expected stage of 40 test patients\nLEAKY SPLIT",
                      "reliability.png": "Reliability of 200 test slices\nLEAKY SPLIT"}
    for name in ("confusion_patients.png", "confusion_slices.png", "stages.png"):
        assert ticks((main | more)[name][0]) == staged, name
    p, y, _ = test.rows("patient")
    counts = np.array([[(p.argmax(1)[y == i] == j).sum() for j in (1, 2, 0)] for i in (1, 2, 0)])
    shown = [text.get_text().split("\n")[0] for text in main["confusion_patients.png"][0].axes[0].texts]
    assert shown == [str(count) for count in counts.ravel()]
    unordered = evaluate(test, NAMES[1], None, permutations=9)
    assert ticks(main_figures(unordered, test, [])["confusion_patients.png"][0]) == NAMES
    assert "stages.png" not in more_figures(unordered, test, []), "alphabetical classes are no stages"


def test_there_is_one_curve_for_the_disease_and_one_for_each_stage_of_it():
    """The curve of the healthy class is that of diseased-or-not mirrored."""
    test = predictions()
    found = evaluate(test, NAMES[1], [1, 2, 0], permutations=9)
    names = [label.split(":")[0] for label in legend(main_figures(found, test, [])["roc.png"][0])]
    assert names == ["diseased or not", "VeryMildDemented or not", "MildDemented or not", "chance"]
