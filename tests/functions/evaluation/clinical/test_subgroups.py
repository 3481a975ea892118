import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.subgroups import THIRDS, subgroups


def cohort(count=50, seed=0):
    generator = np.random.default_rng(seed)
    diseased = generator.random(count) < 0.5
    return generator.random(count), diseased, Covariates(
        generator.normal(70, 8, count), generator.choice(["F", "M"], count).astype(object),
        generator.choice(["a", "b", "c"], count, p=[0.8, 0.1, 0.1]).astype(object), np.array(["x"] * count, object))


def test_groups_are_scored_by_their_own_patients():
    score, diseased, traits = cohort()
    found = subgroups(score, diseased, traits)
    assert list(found) == ["sex", "age", "site"]                    # one scanner: nothing to compare
    women, men = found["sex"]
    inside = traits.sex == "F"
    assert women.auroc.value == pytest.approx(roc_auc_score(diseased[inside], score[inside]))
    assert women.auroc.low < women.auroc.value < women.auroc.high
    assert women.sensitivity.value == pytest.approx((score > 0.5)[inside & diseased].mean())
    assert women.specificity.value == pytest.approx((score <= 0.5)[inside & ~diseased].mean())
    assert women.healthy + men.healthy == (~diseased).sum()


def test_groups_with_few_patients_of_either_side_have_counts_only():
    score, diseased, traits = cohort()
    groups = subgroups(score, diseased, traits)["site"]
    assert [one.name for one in groups][0] == "a"
    assert sum(one.healthy + one.diseased for one in groups) == 50
    for one in groups:
        assert (one.auroc is None) == (min(one.healthy, one.diseased) < 5)
    assert any(one.auroc is None for one in groups)
    assert all(one.sensitivity is None and one.specificity is None for one in groups if one.auroc is None)


def test_ages_are_halved_and_from_sixty_patients_on_divided_into_thirds():
    for count, parts in ((THIRDS - 1, 2), (THIRDS, 3)):
        score, diseased, traits = cohort(count)
        groups = subgroups(score, diseased, traits)["age"]
        sizes = [one.healthy + one.diseased for one in groups]
        assert len(groups) == parts
        assert max(sizes) - min(sizes) <= 1
    assert groups[0].name.startswith("up to 6")


def test_unknown_and_single_values_make_no_group():
    score, diseased, traits = cohort()
    none = np.array([None] * 50, dtype=object)
    assert subgroups(score, diseased, Covariates(np.full(50, np.nan), none, none, none)) == {}
    assert subgroups(score, diseased, Covariates(np.full(50, 70.0), none, none, none)) == {}
    traits.age[:10] = np.nan
    groups = subgroups(score, diseased, traits)["age"]
    assert sum(one.healthy + one.diseased for one in groups) == 40
