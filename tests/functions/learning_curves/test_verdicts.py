from dataclasses import replace

import numpy as np
import pytest

from functions.learning_curves.methods import ALL
from functions.learning_curves.plan import Plan, run_fits
from functions.learning_curves.verdicts import compare, describe, questions, sentence
from tests.functions.learning_curves.cohorts import make_cohort, noisy

SIGNAL = {"vit": 0.2, "resnet18": 4.0, "four_numbers": 0.2}


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """A ViT that is worse than a ResNet-18 with 5 patients; with all they have the same predictions."""
    cohort = make_cohort()
    plan = Plan(tmp_path_factory.mktemp("curves"), cohort, ["four_numbers", "vit", "resnet18"], [5, ALL], 0)
    seeds = {name: number for number, name in enumerate(SIGNAL)}
    run_fits(plan, plan.cells, lambda method: noisy(cohort, SIGNAL[method], seeds[method]), lambda cell, fit: None)
    found = plan.curves()
    return found | {("resnet18", ALL): replace(found["vit", ALL], method="resnet18")}


def test_the_verdict_is_that_of_the_interval_over_patients(curves):
    small, large = compare(curves, "vit", "resnet18")
    assert (small.size, large.size) == (5, ALL)
    assert small.over_patients.high < 0
    assert small.verdict == "shown to be worse"
    assert compare(curves, "resnet18", "vit")[0].verdict == "shown to be better"
    assert np.isnan(large.over_patients.low)
    assert large.verdict == "not shown to be better or worse"


def test_a_gain_whose_interval_holds_0_is_not_shown(curves):
    gaps = [one for pair in (("vit", "four_numbers"), ("four_numbers", "vit")) for one in compare(curves, *pair)
            if one.over_patients.low < 0 < one.over_patients.high]
    assert min(one.over_patients.value for one in gaps) < 0 < max(one.over_patients.value for one in gaps)
    assert {one.verdict for one in gaps} == {"not shown to be better or worse"}


def test_the_sentence_names_both_methods_every_size_and_interval(curves):
    found = compare(curves, "vit", "resnet18")
    assert sentence(found) == (
        f"AUROC of ViT from scratch against ResNet-18 from scratch: shown to be worse with 5 "
        f"({describe(found[0].over_patients)}) patients; not shown to be better or worse with all (+0.000, the same "
        "ranking) patients.")


def test_questions_are_asked_of_vision_transformers_where_both_methods_are_complete(curves):
    pairs = [(group[0].first, group[0].second, len(group)) for group in questions(curves)]
    assert pairs == [("vit", "resnet18", 2), ("vit", "four_numbers", 2)]
    fewer = {key: curve for key, curve in curves.items() if key != ("resnet18", 5)}
    assert [len(group) for group in questions(fewer)] == [1, 2]
    assert questions({key: curve for key, curve in curves.items() if key[0] != "vit"}) == []
