import pytest

from functions.reports.run_means import NO_MEAN, scored_names, spread

TWO, THREE, OTHERS = frozenset("ab"), frozenset("abc"), frozenset("ac")


def test_a_class_is_scored_from_five_patients_on():
    assert scored_names({"a": 5, "b": 4, "c": 9}) == OTHERS
    assert "(those of 5 test patients or more)" in NO_MEAN


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "auroc"])
def test_there_is_no_mean_of_means_over_other_classes(name):
    values = [0.5, 0.7, 0.6]
    assert spread(name, values, [TWO] * 3) == "0.600 ± 0.100"
    assert spread(name, values, [TWO, TWO, THREE]) == "- (2 or 3 classes)"
    assert spread(name, values, [TWO, OTHERS, TWO]) == "- (not the same classes)"
    assert spread(name, [0.5, 0.7, None], [TWO, TWO, THREE]) == "0.600 ± 0.141 (2 of 3)", "who has none is in no mean"


@pytest.mark.parametrize("name", ["accuracy", "auroc_disease"])
def test_scores_over_all_patients_have_a_mean_whatever_the_classes(name):
    assert spread(name, [0.5, 0.7, 0.6], [TWO, OTHERS, THREE]) == "0.600 ± 0.100"


def test_a_mean_says_of_how_many_it_is():
    nan = float("nan")
    assert spread("accuracy", [nan, None], [TWO] * 2) == "-"
    assert spread("accuracy", [0.6], [TWO]) == "0.600"
    assert spread("accuracy", [0.6, nan], [TWO] * 2) == "0.600 (1 of 2)"
    assert spread("accuracy", [0.5, 0.5], [TWO] * 2) == "0.500 ± 0.000"
    assert spread("accuracy", [0.5, 0.5], [TWO] * 2, constant=True) == "0.500"
