import numpy as np
import pytest
from scipy.stats import norm

from functions.evaluation.auroc import auroc, auroc_interval, weighted_auroc_interval
from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.matching import age_adjusted, age_weights, match, matched

NONE = np.array([None] * 200, dtype=object)


def traits(age, sex=None):
    age = np.asarray(age, dtype=float)
    none = NONE[:len(age)]
    return Covariates(age, none if sex is None else np.asarray(sex, dtype=object), none, none)


def cohort(generator, count=80, gap=10.0, slope=0.0, effect=0.0):
    """A score of slope SDs per SD of age, and `effect` SDs of disease; the diseased are `gap` years older."""
    diseased = np.arange(count) < count // 2
    age = np.round(generator.normal(np.where(diseased, 70 + gap, 70), 8))
    return slope * (age - 70) / 8 + effect * diseased + generator.normal(size=count), diseased, age


@pytest.mark.parametrize("rising", [lambda age: age, lambda age: np.exp(age / 20), lambda age: -1 / age])
def test_a_score_of_age_alone_is_worth_nothing_among_patients_of_like_age(rising):
    for seed in range(5):
        _, diseased, age = cohort(np.random.default_rng(seed))
        found = age_adjusted(rising(age), diseased, age)
        assert found.auroc.value == pytest.approx(0.5, abs=1e-12)
        assert found.crude.value == found.age_alone.value > 0.7
        assert age_adjusted(-rising(age), diseased, age).auroc.value == pytest.approx(0.5, abs=1e-12)


def test_without_a_calliper_s_limit_on_equal_ages_it_is_the_auroc():
    score, diseased, _ = cohort(np.random.default_rng(0), effect=1.0)
    found = age_adjusted(score, diseased, np.full(80, 70.0))
    assert found.auroc.value == pytest.approx(auroc(score, diseased)[0])
    assert (found.auroc.low, found.auroc.high) == pytest.approx(auroc_interval(found.auroc.value, 40, 40))


def test_weights_are_equal_on_both_sides_of_an_age_and_zero_beyond_the_calliper():
    age = np.array([70.0, 60, 68, 69, 73, 90, 70])                # the first two and the last diseased
    weights = age_weights(age, np.array([True, True, False, False, False, False, True]), 5)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * 4, [[0.5, 0.5, 1, 0], [0, 0, 0, 0], [0.5, 0.5, 1, 0]])
    weights = age_weights(np.array([70.0, 70, 68, 72, 72, 69]), np.array([True] + [False] * 5), 5)
    np.testing.assert_allclose(weights, [[0.2, 0.2, 0.2, 0.2, 0.2]])
    assert not age_weights(np.array([70.0, 68, 69]), np.array([True, False, False]), 5).any()     # none older


def test_equal_weights_give_the_interval_of_an_auroc():
    assert weighted_auroc_interval(0.8, np.full((7, 12), 1 / 84)) == pytest.approx(auroc_interval(0.8, 7, 12))
    ends = weighted_auroc_interval(0.8, np.eye(20) / 20)           # pairs that share no patient: Wilson's interval
    assert ends == pytest.approx((0.5840, 0.9193), abs=1e-3)
    assert np.isnan(weighted_auroc_interval(np.nan, np.eye(3) / 3)).all()


def test_too_few_partners_have_no_age_adjusted_auroc():
    score, diseased, age = cohort(np.random.default_rng(0), gap=60)
    assert age_adjusted(score, diseased, age) is None
    assert age_adjusted(score, diseased, np.full(80, np.nan)) is None
    few = np.where(diseased & (np.arange(80) < 36), 120.0, age - 60 * diseased)      # four diseased with partners
    assert age_adjusted(score, diseased, few) is None


def test_patients_without_age_are_left_out():
    score, diseased, age = cohort(np.random.default_rng(1), effect=1.0)
    more = age_adjusted(np.append(score, [99, -99]), np.append(diseased, [False, True]), np.append(age, [np.nan] * 2))
    assert more == age_adjusted(score, diseased, age)


@pytest.mark.parametrize(("gap", "slope", "effect"), [(8.0, 1.0, 0.0), (8.0, 0.7, 1.0)])
def test_coverage_of_the_age_adjusted_interval(gap, slope, effect):
    generator, true, found = np.random.default_rng(0), norm.cdf(effect / np.sqrt(2)), []
    crude = []
    for _ in range(150):
        score, diseased, age = cohort(generator, 80, gap, slope, effect)
        found += [one.auroc] if (one := age_adjusted(score, diseased, age)) else []
        crude.append(auroc(score, diseased)[0])
    assert len(found) > 140
    assert abs(np.mean([one.value for one in found]) - true) < 0.03
    assert np.mean([one.low <= true <= one.high for one in found]) > 0.90
    assert np.mean(crude) > true + 0.03                               # what is adjusted for was there


def test_pairs_are_of_one_sex_within_the_calliper_and_as_many_as_possible():
    age = [70, 71, 80, 71, 72, 90, 71.5]
    sex = ["F", "F", "M", "F", "F", "M", "M"]
    diseased = np.array([True, True, True, False, False, False, False])
    assert match(diseased, traits(age, sex), 2) == [(0, 3), (1, 4)]      # (1, 3) alone would be nearer
    assert match(diseased, traits(age), 2) == [(0, 3), (1, 6)]
    assert match(diseased, traits(age, [None] * 6 + ["F"]), 2) == []
    assert match(diseased, traits([np.nan] * 7), 2) == []


def test_matched_pairs_are_scored_beside_age():
    generator = np.random.default_rng(0)
    score, diseased, age = cohort(generator, 80, 4, 0.0, 8.0)
    found, count = matched(score, diseased, traits(age))
    assert found.auroc.value == 1
    assert found.pairs == count > 20
    assert found.auroc.low == pytest.approx(1 / (1 + 1.96**2 / count), abs=0.01)        # Wilson's
    _, diseased, age = cohort(generator, 80, 4)
    older, _ = matched(age, diseased, traits(age))
    assert older.auroc.value == older.age_alone
    assert older.older == pytest.approx(np.mean([age[i] - age[j] for i, j in match(diseased, traits(age))]))
    assert matched(score, diseased, traits(age + 100 * diseased)) == (None, 0)
