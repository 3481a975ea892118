import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from functions.evaluation.auroc import auroc, auroc_interval, difference, mean_auroc, mean_auroc_interval

SIGNALS = 3.0, 1.0           # of two networks that differ


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


def test_a_difference_joins_two_intervals_and_has_delongs_p(scores):
    score, positive = scores
    second = score + np.random.default_rng(1).normal(size=40)
    one, other = mean_auroc([(score, positive)]), mean_auroc([(second, positive)])
    low, high, p = difference(one, other)
    assert one.influence @ other.influence == pytest.approx(_covariance(score, second, positive))
    size = positive.sum(), (~positive).sum()
    (l1, u1), (l2, u2) = (auroc_interval(each.value, *size) for each in (one, other))
    v1, v2, r = one.value, other.value, _covariance(score, second, positive) / np.sqrt(
        _covariance(score, score, positive) * _covariance(second, second, positive))
    assert v1 - v2 - low == pytest.approx(np.sqrt((v1 - l1)**2 + (u2 - v2)**2 - 2 * r * (v1 - l1) * (u2 - v2)))
    assert high - v1 + v2 == pytest.approx(np.sqrt((u1 - v1)**2 + (v2 - l2)**2 - 2 * r * (u1 - v1) * (v2 - l2)))
    error = np.sqrt(sum(s * _covariance(a, b, positive) for a, b, s in (
        (score, score, 1), (second, second, 1), (score, second, -2))))
    assert p == pytest.approx(2 * norm.sf(abs(v1 - v2) / error))
    assert difference(other, one)[:2] == pytest.approx((-high, -low))


def _covariance(score, second, positive):
    """DeLong's, written out: cov(V10, V10') / m + cov(V01, V01') / n."""
    above = [(s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive])
             for s in (score, second)]
    return sum(np.cov(above[0].mean(axis=axis), above[1].mean(axis=axis))[0, 1] / above[0].shape[1 - axis]
               for axis in (0, 1))


def test_networks_that_rank_alike_have_no_interval_and_those_that_do_not_vary_have_both(scores):
    score, positive = scores
    one = mean_auroc([(score, positive)])
    assert np.isnan(difference(one, one)).all()
    constant = mean_auroc([(np.zeros(40), positive)])
    low, high, _ = difference(one, constant)
    assert low == pytest.approx(one.value - 0.5 - np.hypot(one.value - one.low, constant.high - 0.5))
    assert high == pytest.approx(one.value - 0.5 + np.hypot(one.high - one.value, 0.5 - constant.low))


def test_the_interval_of_a_difference_covers_that_of_networks_that_differ():
    """400 cohorts of 40 patients, AUROCs of 0.98 and 0.76: DeLong's interval holds it in 88 %."""
    generator, held = np.random.default_rng(0), {"MOVER": 0, "DeLong": 0}
    truth = norm.cdf(SIGNALS[0] / np.sqrt(2)) - norm.cdf(SIGNALS[1] / np.sqrt(2))
    positive = np.arange(40) < 10
    for _ in range(400):
        shared = generator.normal(size=40)
        one, other = (mean_auroc([(np.sqrt(0.5) * (shared + generator.normal(size=40)) + signal * positive, positive)])
                      for signal in SIGNALS)
        low, high, _ = difference(one, other)
        half = norm.ppf(0.975) * np.sqrt(np.square(one.influence - other.influence).sum())
        held["MOVER"] += low <= truth <= high
        held["DeLong"] += abs(one.value - other.value - truth) <= half
    assert held["MOVER"] >= 0.94 * 400
    assert held["DeLong"] < 0.90 * 400, "cohorts in which the old interval does not fail prove nothing"
