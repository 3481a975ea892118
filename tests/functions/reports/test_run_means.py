from dataclasses import replace

import pytest

from functions.evaluation.evaluation import ClassScores, Evaluation, UnitScores
from functions.reports.run_means import NO_MEAN, scored_names, spread

TWO, THREE, OTHERS = frozenset("ab"), frozenset("abc"), frozenset("ac")


def test_a_class_is_scored_from_five_patients_on():
    classes = [ClassScores("a", 5, 9), ClassScores("b", 4, 40), ClassScores("c", 9, 9)]
    slices = UnitScores(58, {}, [ClassScores("b", 58, 58)])
    evaluation = Evaluation(["a", "b", "c"], "a", "auroc", slices, UnitScores(18, {}, classes))
    assert scored_names(evaluation) == OTHERS
    assert scored_names(replace(evaluation, patient=None)) == {"b"}
    assert "(those of 5 test patients or more)" in NO_MEAN


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "auroc"])
def test_there_is_no_mean_of_means_over_other_classes(name):
    values = [0.5, 0.7, 0.6]
    assert spread(name, values, [TWO] * 3) == "0.600 ± 0.100"
    assert spread(name, values, [TWO, TWO, THREE]) == "- (2 or 3 classes)"
    assert spread(name, values, [TWO, OTHERS, TWO]) == "- (not the same classes)"
    lacking = [0.5, 0.7, float("nan")]
    assert spread(name, lacking, [TWO, TWO, THREE]) == "0.600 ± 0.141 (2 of 3)", "who has none is in no mean"


@pytest.mark.parametrize("name", ["accuracy", "auroc_disease"])
def test_scores_over_all_patients_have_a_mean_whatever_the_classes(name):
    assert spread(name, [0.5, 0.7, 0.6], [TWO, OTHERS, THREE]) == "0.600 ± 0.100"


def test_a_mean_says_of_how_many_it_is():
    nan = float("nan")
    assert spread("accuracy", [nan, nan], [TWO] * 2) == "-"
    assert spread("accuracy", [0.6], [TWO]) == "0.600"
    assert spread("accuracy", [0.6, nan], [TWO] * 2) == "0.600 (1 of 2)"
    assert spread("accuracy", [0.5, 0.5], [TWO] * 2) == "0.500 ± 0.000"
    assert spread("accuracy", [0.5, 0.5], [TWO] * 2, constant=True) == "0.500"
