import numpy as np
import pytest

from functions.learning_curves.methods import ALL
from functions.learning_curves.subsets import missing_classes, possible_sizes, training_order, training_slices
from tests.functions.learning_curves.cohorts import make_cohort


def each_fold(cohort):
    return [(repeat, fold) for repeat in range(len(cohort.folds)) for fold in range(cohort.num_folds)]


def test_an_order_holds_every_training_patient_once_and_no_test_patient():
    cohort = make_cohort()
    for key in each_fold(cohort):
        tested = set(cohort.subjects[cohort.tested(*key)])
        order = training_order(cohort, *key, 0)
        assert sorted(order) == sorted(set(cohort.subjects) - tested)


def test_subsets_are_nested_and_a_patient_is_in_one_with_all_slices():
    cohort = make_cohort()
    for key in each_fold(cohort):
        order = training_order(cohort, *key, 0)
        smaller = np.zeros(len(cohort.labels), bool)
        for size in (5, 8, 13, ALL):
            known = training_slices(cohort, order, size, *key)
            assert not (smaller & ~known).any()
            assert known.sum() == 2 * (size or len(order))
            assert len(set(cohort.subjects[known])) == (size or len(order))
            assert not (known & cohort.tested(*key)).any()
            smaller = known


def test_every_beginning_has_the_classes_in_their_own_shares():
    cohort = make_cohort()
    label_of = dict(zip(cohort.subjects, cohort.labels, strict=True))
    for key in each_fold(cohort):
        labels = np.array([label_of[subject] for subject in training_order(cohort, *key, 0)])
        for size in range(5, len(labels) + 1):
            for name in range(3):
                share = size * (labels == name).sum() / len(labels)
                assert abs((labels[:size] == name).sum() - share) <= 1


def test_the_order_depends_on_seed_and_fold_alone():
    cohort = make_cohort()
    assert training_order(cohort, 0, 1, 3) == training_order(cohort, 0, 1, 3)
    assert training_order(cohort, 0, 1, 3) != training_order(cohort, 0, 1, 4)
    shuffled = np.random.default_rng(0).permutation(len(cohort.labels))
    other = cohort._replace(table=cohort.table.iloc[shuffled].reset_index(drop=True), labels=cohort.labels[shuffled],
                            folds=cohort.folds[:, shuffled])
    assert training_order(other, 0, 1, 3) == training_order(cohort, 0, 1, 3)


def test_a_planted_leak_is_noticed():
    cohort = make_cohort()
    order = training_order(cohort, 0, 1, 0)
    leaked = cohort.subjects[cohort.tested(0, 1)][0]
    with pytest.raises(RuntimeError, match=f"patient {leaked} is both trained on and tested in repeat 1, fold 2"):
        training_slices(cohort, [*order[:4], leaked, *order[4:]], 5, 0, 1)


def test_sizes_that_a_fold_cannot_have_are_named():
    cohort = make_cohort()                                              # 20 patients in the smallest training set
    smallest = min(len(training_order(cohort, *key, 0)) for key in each_fold(cohort))
    assert possible_sizes(cohort, [5, smallest - 1, smallest, 40, ALL]) == ([5, smallest - 1, ALL], [smallest, 40])


def test_a_class_without_a_training_patient_is_named():
    cohort = make_cohort()
    tested = next(key for key in each_fold(cohort) if "MCI" in set(cohort.table["class"][cohort.tested(*key)]))
    assert missing_classes(cohort, ~cohort.tested(*tested)) == ["MCI"]
    assert missing_classes(cohort, np.ones(len(cohort.labels), bool)) == []
