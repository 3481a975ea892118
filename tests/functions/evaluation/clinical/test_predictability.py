import numpy as np
import pytest

from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.predictability import ALL, messages, predictability, untested


def cohort(count, age_gap=0.0, site_gap=0.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    none = np.array([None] * count, dtype=object)
    site = np.where(generator.random(count) < 0.5 + site_gap * (labels - 0.5), "a", "b").astype(object)
    return [(f"s{k:03d}", int(label)) for k, label in enumerate(labels)], Covariates(
        generator.normal(70 + age_gap * labels, 8), generator.choice(["F", "M"], count).astype(object), site, none)


def test_what_predicts_the_class_is_found_and_nothing_else():
    patients, traits = cohort(100, age_gap=12)
    found = {one.name: one for one in predictability(patients, ["CN", "AD"], traits)}
    assert list(found) == ["age", "sex", "site", ALL]
    assert found["age"].auroc.value == pytest.approx(0.85, abs=0.08)
    assert found["age"].question == "diseased or not"
    assert [name for name in found if found[name].found] == ["age", ALL]
    [text] = messages(list(found.values()))
    assert text.startswith("age alone can predict diseased or not: AUROC 0.8")
    patients, traits = cohort(100, site_gap=0.9)
    assert [text.split()[0] for text in messages(predictability(patients, ["CN", "AD"], traits))] == ["site"]
    assert untested(predictability(patients, ["CN", "AD"], traits), traits) == []


def test_what_does_not_differ_between_the_classes_is_not_accused():
    for seed in range(3):
        patients, traits = cohort(60, seed=seed)
        assert messages(predictability(patients, ["CN", "AD"], traits)) == []


def test_without_a_healthy_class_it_is_the_mean_over_classes():
    patients, traits = cohort(90, age_gap=30)
    found = predictability(patients, ["one", "two"], traits)
    assert found[0].question == "the class"
    assert found[0].found


def test_few_patients_and_unknown_values_give_nothing():
    patients, traits = cohort(28, age_gap=30)
    assert predictability(patients, ["CN", "AD"], traits) == []
    assert untested([], traits)[0].startswith("not known whether age or sex or site alone predicts the class: 30 ")
    patients, traits = cohort(60, age_gap=30)
    traits.age[:40] = np.nan
    found = predictability(patients, ["CN", "AD"], traits)
    assert "age" not in [one.name for one in found]
    assert "not known whether age alone" in untested(found, traits)[0]
    traits.sex[:] = None
    assert [one.name for one in predictability(patients, ["CN", "AD"], traits)] == ["site"]
