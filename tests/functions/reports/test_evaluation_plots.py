import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.evaluation import Score
from functions.reports.evaluation_plots import plot_reliability, plot_roc, plot_score_by_stage


def test_the_curve_and_its_auroc_stand_beside_each_other():
    generator = np.random.default_rng(0)
    positive = generator.random(60) < 0.4
    score = np.round(generator.normal(size=60) + positive, 1)           # with ties
    expected = roc_auc_score(positive, score)
    figure = plot_roc({"demented or not": (score, positive, Score(expected, 0.12, 0.34))}, "patients")
    [axis] = figure.axes
    alarms, hits = axis.lines[0].get_xydata().T
    assert np.trapezoid(hits, alarms) == pytest.approx(expected)
    label = axis.get_legend().texts[0].get_text()
    assert label == f"AUROC {expected:.3f} [0.120 to 0.340]"
    assert (axis.get_title(), figure.get_suptitle()) == ("demented or not", "patients")
    [axis] = plot_roc({"x": (score, positive, Score(expected))}, "slices").axes
    assert axis.get_legend().texts[0].get_text() == f"AUROC {expected:.3f}"


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
