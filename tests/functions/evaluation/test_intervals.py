import numpy as np
import pytest
from scipy.stats import norm, t

from data_setup.audit.leakage_effect import leakage_effect
from data_setup.similarity.neighbours import find_neighbours
from functions.evaluation import intervals
from functions.evaluation.intervals import (
    bootstrap_interval,
    mean_of_clusters,
    mean_of_positives,
    mean_of_proportions,
    mover_interval,
    share_of_clusters,
    wilson,
)
from tests.data_setup.audit.test_leakage_effect import brains


def test_few_patients_widen_the_percentiles_as_hesterberg_says():
    draws = np.arange(10001) / 10000
    low, high = bootstrap_interval(draws, patients=12, strata=3)
    alpha = norm.cdf(-np.sqrt(12 / 9) * t.ppf(0.975, 9))
    assert (low, high) == pytest.approx((alpha, 1 - alpha), abs=1e-4)
    assert bootstrap_interval(draws, patients=10**6)[0] == pytest.approx(0.025, abs=1e-4)


def test_draws_that_are_not_finite_are_left_out_and_nothing_is_nan():
    draws = np.array([[0.2, np.nan, np.inf], [0.4, np.nan, 0.3], [np.nan, np.nan, 0.5]])
    low, high = bootstrap_interval(draws, patients=50)
    assert np.isnan([low[1], high[1]]).all()
    assert 0.2 <= low[0] < high[0] <= 0.4
    assert 0.3 <= low[2] < high[2] <= 0.5
    for draws, patients in ((np.zeros((0, 2)), 50), (np.zeros((7, 2)), 3)):
        assert np.isnan(bootstrap_interval(draws, patients, strata=3)).all()


def test_wilson_of_none_and_of_all_ends_at_the_share_itself():
    """An end on the wrong side by a rounding error is a negative error bar, at which matplotlib raises."""
    counts = np.arange(1, 500)
    assert (wilson(0 * counts, counts)[0] == 0).all()
    assert (wilson(counts, counts)[1] == 1).all()


def test_wilson_is_the_interval_of_a_score_test():
    """Its ends are the shares π that lie z standard errors √(π (1 - π) / n) from the share seen."""
    for hits, count in ((0, 7), (3, 7), (7, 7), (40, 60)):
        for end in wilson(hits, count):
            assert abs(hits / count - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), abs=1e-6)
    assert np.isnan(wilson(0, 0)).all()
    low, high = wilson(np.array([1, 5]), np.array([10, 10]))
    assert (low < [0.1, 0.5]).all()
    assert (high > [0.1, 0.5]).all()


def test_patients_whose_slices_agree_count_by_kishs_number():
    """60 patients of eight slices and 60 of one: (Σ m)² / Σ m² = 75 patients' worth, not 120."""
    size = np.r_[np.full(60, 8), np.ones(60, int)]
    who = np.repeat(np.arange(120), size)
    right = np.repeat(np.arange(120) % 4 > 0, size)                         # wholly right or wholly wrong
    low, high = share_of_clusters(right, who)
    narrow = wilson(right.mean() * 120, 120)
    assert high - low > 1.2 * (narrow[1] - narrow[0])
    always = share_of_clusters(np.ones(len(who), bool), who)
    kish = size.sum() ** 2 / np.square(size).sum()
    assert always == pytest.approx(tuple(wilson(kish, kish, t.ppf(0.975, kish - 1))))
    hits = np.bincount(who, right & (np.arange(len(who)) % 8 > 2))           # some slices of a patient right, some not
    shares = [(hits.sum() - hits[i]) / (size.sum() - size[i]) for i in range(120)]
    share, variance = hits.sum() / size.sum(), 119 / 120 * np.square(np.array(shares) - hits.sum() / size.sum()).sum()
    many = share * (1 - share) / variance
    assert kish < many < size.sum()
    assert share_of_clusters(right & (np.arange(len(who)) % 8 > 2), who) == pytest.approx(tuple(
        wilson(share * many, many, t.ppf(0.975, kish - 1))))


@pytest.mark.parametrize(("sizes", "given"), [([8] * 30, True), ([8] * 29, False), ([1] * 20, True),
                                              ([1] * 19, False), ([1] * 32 + [200] * 8, False)])
def test_shares_of_slices_have_an_interval_of_thirty_patients_worth(sizes, given):
    """Of fewer it holds the truth too rarely; one row a patient is a plain proportion, of 20 patients or more."""
    who = np.repeat(np.arange(len(sizes)), sizes)
    assert np.isfinite(share_of_clusters(who % 4 > 0, who)).all() == given


def test_a_mean_of_clusters_is_a_t_interval_of_patients():
    values = np.random.default_rng(0).normal(size=12)
    half = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert mean_of_clusters(values, np.arange(12)) == pytest.approx((values.mean() - half, values.mean() + half))
    often = mean_of_clusters(np.repeat(values, 7), np.repeat(np.arange(12), 7))
    assert often == pytest.approx((values.mean() - half, values.mean() + half)), "copies are no evidence"
    assert np.isnan([*mean_of_clusters(np.ones(9), np.arange(9)), *mean_of_clusters(values, np.zeros(12))]).all()


def test_a_mean_of_positive_values_has_an_interval_on_the_logarithmic_scale():
    values = np.random.default_rng(0).exponential(size=15)
    low, high = mean_of_positives(values)
    assert low * high == pytest.approx(values.mean() ** 2)
    assert np.log(high / low) == pytest.approx(2 * t.ppf(0.975, 14) * values.std(ddof=1) / np.sqrt(15) / values.mean())
    assert np.isnan([*mean_of_positives(np.zeros(9)), *mean_of_positives(np.ones(9))]).all()


def test_the_mean_of_proportions_recovers_their_variances():
    """Of many patients: √Σ p (1 - p) / n / K; of one class, or of nobody in one, none."""
    hits, counts = np.array([3000, 500]), np.array([4000, 2000])
    low, high = mean_of_proportions(hits, counts)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 4000 + 0.25 * 0.75 / 2000) / 2
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=2e-4)
    few = mean_of_proportions([3, 3], [5, 5])
    assert few[0] > 0.2, "narrower than one class alone"
    assert few[1] - few[0] < wilson(3, 5)[1] - wilson(3, 5)[0]
    assert np.isnan(mean_of_proportions([3], [5])).all()
    assert np.isnan(mean_of_proportions([3, 0], [5, 0])).all()
    assert mean_of_proportions([5, 5], [5, 5])[1] == 1


def test_correlated_estimates_have_a_wider_mean():
    ends = np.array([0.5, 0.7]), np.array([0.4, 0.6]), np.array([0.6, 0.8])
    apart, together = (mover_interval(*ends, np.array([[1, r], [r, 1]])) for r in (0.0, 1.0))
    assert together == pytest.approx((0.5, 0.7))
    assert apart == pytest.approx((0.6 - 0.1 / np.sqrt(2), 0.6 + 0.1 / np.sqrt(2)))


@pytest.fixture
def asked(monkeypatch):
    """What leakage_effect asked the function for: (shape of the draws, patients, strata)."""
    calls = []

    def spy(draws, patients, strata=1):
        calls.append((np.shape(draws), patients, strata))
        return bootstrap_interval(draws, patients, strata)

    monkeypatch.setattr("data_setup.audit.leakage_effect.bootstrap_interval", spy)
    return calls


def test_the_leaks_worth_is_widened_for_few_patients(asked):
    generator = np.random.default_rng(0)
    pictures, people = brains(30, 4, generator)
    worth = leakage_effect(find_neighbours(pictures), generator.integers(0, 2, 30)[people], people, people >= 10, 333)
    assert asked == [((333, 3), 20, 1)]
    assert worth.other_patients[1] <= worth.other_patients[0] <= worth.other_patients[2]


@pytest.mark.parametrize("tested", [1, 19])
def test_the_leaks_worth_on_fewer_than_20_patients_has_no_interval(tested):
    pictures, people = brains(24, 4, np.random.default_rng(0))
    worth = leakage_effect(find_neighbours(pictures), people % 2, people, people < tested)
    assert worth.patients == tested
    assert np.isnan([*worth.as_split[1:], *worth.gap[1:]]).all()


def test_the_standard_error_of_the_ends_is_what_the_constant_promises():
    generator = np.random.default_rng(0)
    ends = [bootstrap_interval(generator.normal(size=intervals.RESAMPLES), patients=10**6)[0] for _ in range(200)]
    assert np.std(ends) / (2 * 1.96) == pytest.approx(0.015, abs=0.004)


def test_no_end_lies_outside_0_to_1_whatever_the_number_of_patients():
    """Rounding put the upper end of 8 right of 8 above 1, and metrics.json was then refused as damaged."""
    for n in range(1, 400):
        for hits in (0, n):
            low, high = intervals.wilson(hits, n)
            assert 0 <= low <= high <= 1
            ends = intervals.share_of_clusters(np.full(4 * n, hits > 0), np.repeat(np.arange(n), 4))
            assert all(np.isnan(end) or 0 <= end <= 1 for end in ends)
