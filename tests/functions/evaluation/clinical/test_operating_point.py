import numpy as np
import pytest

from functions.evaluation.clinical.operating_point import (
    least_healthy,
    operating_point,
    predictive_values,
    ratio_interval,
    threshold_at,
)
from functions.evaluation.clinical.results import Interval
from functions.evaluation.intervals import wilson


def cohort(healthy, diseased, shift, seed):
    generator = np.random.default_rng(seed)
    sick = np.arange(healthy + diseased) >= healthy
    return generator.normal(size=len(sick)) + shift * sick, sick


def share(hits, count):
    return Interval(hits / count, *map(float, wilson(hits, count)))


def test_the_threshold_is_fixed_on_validation_and_test_patients_do_not_move_it():
    val, test = cohort(40, 30, 1.5, 0), cohort(50, 45, 1.5, 1)
    found = operating_point(*test, *val, [0.3])
    assert np.isin(found.threshold, val[0][~val[1]])
    assert (val[0][~val[1]] <= found.threshold).mean() >= 0.9
    moved = operating_point(test[0] + 0.7, test[1], *val, [0.3])
    assert moved.threshold == found.threshold, "it does not follow the scores of test patients"
    assert moved.sensitivity.value > found.sensitivity.value
    assert moved.specificity.value < found.specificity.value
    positive = test[0] > found.threshold
    assert found.sensitivity == share(positive[test[1]].sum(), 45)
    assert found.specificity == share((~positive[~test[1]]).sum(), 50)
    assert found.validation_healthy == 40


def test_the_threshold_is_the_smallest_that_reaches_the_specificity():
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.05, 0.95])
    diseased = np.arange(12) >= 10
    assert threshold_at(score, diseased, 0.9) == 0.9
    assert threshold_at(score, diseased, 0.85) == 0.9
    assert threshold_at(score, diseased, 0.8) == 0.8
    assert (least_healthy(0.9), least_healthy(0.95), least_healthy(0.8)) == (10, 20, 5)


def test_predictive_values_are_those_of_bayes_at_the_stated_prevalence():
    found = predictive_values(share(18, 24), share(36, 40), 0.1)
    assert found.ppv.value == pytest.approx(0.75 * 0.1 / (0.75 * 0.1 + 0.1 * 0.9))
    assert found.npv.value == pytest.approx(0.9 * 0.9 / (0.9 * 0.9 + 0.25 * 0.1))
    for value in (found.ppv, found.npv):
        assert 0 <= value.low < value.value < value.high <= 1
    more = predictive_values(share(18, 24), share(36, 40), 0.5)
    assert more.ppv.low > found.ppv.low
    assert more.npv.high < found.npv.high


def test_predictive_values_without_false_alarms_or_without_positives():
    sure = predictive_values(share(5, 10), share(20, 20), 0.2).ppv
    assert (sure.value, sure.high) == (1, 1)
    assert 0 < sure.low < 0.9
    nobody = predictive_values(share(0, 10), share(20, 20), 0.2)
    assert np.isnan([nobody.ppv.value, nobody.ppv.low, nobody.ppv.high]).all()
    assert nobody.npv.value == pytest.approx(0.8)
    missing = predictive_values(Interval(0.5), Interval(0.9), 0.2)
    assert missing.ppv.value == pytest.approx(0.5 * 0.2 / (0.5 * 0.2 + 0.1 * 0.8))
    assert np.isnan([missing.ppv.low, missing.ppv.high, missing.npv.low]).all()


def test_the_interval_of_a_ratio_is_the_published_formula_and_turns_round_with_it():
    first, second = Interval(0.7, 0.5, 0.84), Interval(0.2, 0.1, 0.36)
    low, high = ratio_interval(first, second)
    product = 0.7 * 0.2
    scale = 0.36 * (2 * 0.2 - 0.36)
    assert low == pytest.approx((product - np.sqrt(product**2 - 0.5 * 0.9 * scale)) / scale)
    assert ratio_interval(second, first) == pytest.approx((1 / high, 1 / low))


def test_predictive_values_cover_the_truth_about_as_often_as_promised():
    generator, inside = np.random.default_rng(2), []
    truth = 0.8 * 0.1 / (0.8 * 0.1 + 0.15 * 0.9)
    for hits, passed in zip(generator.binomial(16, 0.8, 400), generator.binomial(20, 0.85, 400), strict=True):
        ppv = predictive_values(share(hits, 16), share(passed, 20), 0.1).ppv
        inside.append(ppv.low <= truth <= ppv.high)
    assert 0.92 < np.mean(inside) < 0.985
