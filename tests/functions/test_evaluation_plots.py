import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation_plots import _roc, plot_reliability, plot_roc, plot_score_by_stage


def test_the_area_under_the_curve_is_the_auroc():
    generator = np.random.default_rng(0)
    positive = generator.random(300) < 0.4
    score = np.round(generator.normal(size=300) + positive, 1)           # with ties
    grid = np.linspace(0, 1, 20001)
    curve = _roc(score, positive, np.ones(300), grid)
    assert np.trapezoid(curve, grid) == pytest.approx(roc_auc_score(positive, score), abs=1e-3)
    weights = generator.integers(0, 3, 300)
    weighted = _roc(score, positive, weights, grid)
    expected = roc_auc_score(positive, score, sample_weight=weights)
    assert np.trapezoid(weighted, grid) == pytest.approx(expected, abs=1e-3)


def test_the_band_holds_the_curve():
    generator = np.random.default_rng(1)
    positive = np.repeat(generator.random(40) < 0.5, 3)
    score, people = generator.normal(size=120) + positive, np.repeat(np.arange(40), 3)
    figure = plot_roc({"demented or not": (score, positive)}, people, "patients", 60)
    [axis] = figure.axes
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0
    assert len(axis.lines) == 2
    assert axis.get_title() == "demented or not"
    assert figure.get_suptitle() == "patients"


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
