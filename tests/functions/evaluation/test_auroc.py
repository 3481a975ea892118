import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.auroc import auroc, auroc_interval, difference, mean_auroc_interval


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    positive = generator.random(40) < 0.4
    return np.round(generator.normal(size=40) + positive, 1), positive          # with ties


def test_the_value_is_scikit_learns_and_the_variance_delongs(scores):
    """DeLong: var(V10) / m + var(V01) / n over the structural components, written out here."""
    score, positive = scores
    value, influence = auroc(score, positive)
    assert value == pytest.approx(roc_auc_score(positive, score))
    above = (score[positive][:, None] > score[~positive]) + 0.5 * (score[positive][:, None] == score[~positive])
    expected = above.mean(axis=1).var(ddof=1) / positive.sum() + above.mean(axis=0).var(ddof=1) / (~positive).sum()
    assert np.square(influence).sum() == pytest.approx(expected)
    assert np.isnan(auroc(score, np.ones(40, bool))[0])


def test_the_interval_solves_newcombes_equation():
    """And is one at 1, too, where DeLong's variance is 0; it narrows with patients and turns over with the score."""
    for value in (0.3, 0.7, 0.95, 1.0):
        for end in auroc_interval(value, 12, 20):
            if 0 < end < 1:
                spread = 1 + 15 * (1 - end) / (2 - end) + 15 * end / (1 + end)
                assert abs(value - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) * spread / 240), abs=1e-5)
    low, high = auroc_interval(1.0, 8, 8)
    assert 0.6 < low < 0.9
    assert high == 1
    assert auroc_interval(1.0, 80, 80)[0] > 0.95
    mirrored = auroc_interval(0.2, 20, 20)
    assert auroc_interval(0.8, 20, 20) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-6)
    assert np.isnan(auroc_interval(np.nan, 8, 8)).all()
    assert np.isnan(auroc_interval(0.5, 8, 0)).all()


def test_the_mean_of_one_auroc_is_that_auroc_and_of_equal_ones_no_narrower(scores):
    score, positive = scores
    value, influence = auroc(score, positive)
    size = (int(positive.sum()), int((~positive).sum()))
    alone = auroc_interval(value, *size)
    assert mean_auroc_interval([value], [influence], [size]) == pytest.approx(alone)
    assert mean_auroc_interval([value] * 3, [influence] * 3, [size] * 3) == pytest.approx(alone)
    other = auroc(np.random.default_rng(5).normal(size=40), positive)
    apart = mean_auroc_interval([value, other[0]], [influence, other[1]], [size] * 2)
    assert apart[1] - apart[0] < alone[1] - alone[0]


def test_a_difference_is_delongs_paired_one(scores):
    score, positive = scores
    second = score + np.random.default_rng(1).normal(size=40)
    (a, first), (b, other) = auroc(score, positive), auroc(second, positive)
    low, high, p = difference(first, other, a - b)
    error = np.sqrt(np.square(first).sum() + np.square(other).sum() - 2 * first @ other)
    assert (low, high) == pytest.approx((a - b - 1.959964 * error, a - b + 1.959964 * error))
    assert (p < 0.05) == (low > 0 or high < 0)
    assert np.isnan(difference(first, first, 0.0)).all(), "equal networks: nothing varies"
