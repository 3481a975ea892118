import numpy as np
import pytest
from scipy.stats import norm, t

from data_setup.leak_worth import leak_worth
from data_setup.neighbours import find_neighbours
from functions import intervals
from functions.evaluation_plots import plot_roc
from functions.intervals import bootstrap_interval
from functions.metrics import middle_95
from tests.data_setup.test_leak_worth import brains


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


def test_scores_take_their_interval_from_this_function():
    draws = np.random.default_rng(0).random(300)
    labels, subjects = np.array([0, 0, 1, 1, 1, 1]), np.array(list("aabcde"))
    assert middle_95(draws, labels, subjects) == tuple(bootstrap_interval(draws, patients=5, strata=2))


@pytest.fixture
def asked(monkeypatch):
    """What each caller asked the function for: (shape of the draws, patients, strata)."""
    calls = []

    def spy(draws, patients, strata=1):
        calls.append((np.shape(draws), patients, strata))
        return bootstrap_interval(draws, patients, strata)

    for module in ("functions.evaluation_plots", "data_setup.leak_worth"):
        monkeypatch.setattr(f"{module}.bootstrap_interval", spy)
    return calls


def test_the_leaks_worth_is_widened_for_few_patients(asked):
    generator = np.random.default_rng(0)
    pictures, people = brains(18, 4, generator)
    worth = leak_worth(find_neighbours(pictures), generator.integers(0, 2, 18)[people], people, people >= 12, 333)
    assert asked == [((333, 3), 6, 1)]
    assert worth.strangers_only[1] <= worth.strangers_only[0] <= worth.strangers_only[2]


def test_the_leaks_worth_on_a_single_patient_has_no_interval():
    pictures, people = brains(8, 4, np.random.default_rng(0))
    worth = leak_worth(find_neighbours(pictures), people % 2, people, people == 7)
    assert worth.people == 1
    assert np.isnan([*worth.as_split[1:], *worth.gap[1:]]).all()


def test_the_roc_band_is_widened_for_few_patients(asked):
    figure = plot_roc({"x": (np.arange(18.0), np.tile([True, False], 9))}, np.arange(18), "t", resamples=33)
    assert asked == [((33, 101), 18, 2)]
    assert "33 resamples of patients" in figure.axes[0].get_legend().texts[0].get_text()


def test_the_standard_error_of_the_ends_is_what_the_constant_promises():
    generator = np.random.default_rng(0)
    ends = [bootstrap_interval(generator.normal(size=intervals.RESAMPLES), patients=10**6)[0] for _ in range(200)]
    assert np.std(ends) / (2 * 1.96) == pytest.approx(0.015, abs=0.004)
