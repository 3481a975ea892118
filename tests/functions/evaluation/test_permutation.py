import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, confusion_matrix, f1_score

from functions.evaluation.auroc import auroc
from functions.evaluation.permutation import can_move, from_counts, mean_of_known, p_value, permuted
from functions.evaluation.scores import points
from tests.functions.evaluation.cohorts import ORDER, people_of

CLASSES = [0, 1, 2]


def test_the_null_is_that_of_scores_counted_one_permutation_at_a_time():
    """With ties. The same generator gives the permutations."""
    drawn = np.random.default_rng(8)
    p, y, who = np.round(drawn.dirichlet([1, 1, 1], 40), 1), drawn.integers(0, 3, 40), np.arange(40)
    found = permuted(p, y, who, [1, 0, 2], 1, CLASSES, repeats=20, seed=3)
    generator = np.random.default_rng(4)
    for i in range(20):
        expected = points(p, y[generator.permutation(40)], [1, 0, 2], 1)
        assert set(found) == set(expected) - {"brier", "ece"}
        for name, values in found.items():
            assert values[i] == pytest.approx(expected[name]), name


def test_a_patients_labels_go_together_to_one_with_as_many():
    """Patients a to d have one label, e and f two: theirs are (0, 1) and (2, 2), exchanged as wholes."""
    who = np.array(list("abcdeeff"))
    y, p = np.array([0, 1, 1, 2, 0, 1, 2, 2]), np.eye(3)[[0, 0, 0, 0, 0, 1, 2, 2]]
    found = permuted(p, y, who, CLASSES, None, CLASSES, repeats=200, seed=0)["accuracy"]
    single, double = np.array([1, 0, 0, 0, 0]) / 8, np.array([4, 0]) / 8     # one of four is a 0; all of two, or none
    assert set(np.round(found * 8)) <= {1, 5}, (single, double)
    assert 0.3 < (found * 8 > 3).mean() < 0.7


def test_p_counts_the_identity_and_is_undefined_where_a_permutation_is():
    null = np.array([0.4, 0.5, 0.6, 0.7])
    assert p_value(0.6, null) == 3 / 5
    assert p_value(0.9, null) == 1 / 5
    assert np.isnan(p_value(0.9, np.array([0.4, np.nan])))
    assert np.isnan(p_value(np.nan, null))
    assert p_value(0.5, np.full(9, 0.5)) == 1


def test_a_label_moves_to_a_patient_of_as_many_labels_and_another():
    assert can_move(np.array([0, 0, 1]), np.arange(3))
    assert not can_move(np.array([0, 0, 0]), np.arange(3))
    assert not can_move(np.array([0, 0, 1, 2, 1, 2]), np.array([0, 1, 2, 2, 3, 3]))
    assert can_move(np.array([0, 0, 1, 2, 0, 2]), np.array([0, 1, 2, 2, 3, 3]))


def test_means_over_fewer_than_two_classes_are_not_defined():
    p, y, who = np.eye(3)[np.arange(12) % 3], np.arange(12) % 3, np.arange(12)
    found = permuted(p, y, who, CLASSES, 0, [1], repeats=5, seed=0)
    assert np.isnan([found["balanced_accuracy"], found["auroc"]]).all()
    assert np.isfinite([found["accuracy"], found["auroc_disease"]]).all()


def test_the_same_seed_gives_the_same_null():
    p = np.random.default_rng(0).dirichlet([1, 1, 1], 30)
    y, who = np.arange(30) % 3, np.arange(30)
    once, again, other = (permuted(p, y, who, CLASSES, None, CLASSES, 50, seed)["auroc"] for seed in (0, 0, 1))
    assert (once == again).all()
    assert (once != other).any()


def test_permutations_reject_in_five_percent_of_cohorts_without_signal():
    """400 cohorts of 24 people."""
    rejected = 0
    for seed in range(5000, 5400):
        p, y, who = people_of(seed, people=24, signal=0.0, slices=2)
        null = permuted(p, y, who, ORDER, None, [0, 1, 2], repeats=39, seed=seed)["auroc"]
        rejected += p_value(np.mean([auroc(p[:, k], y == k)[0] for k in range(3)]), null) <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def test_scores_from_counts_are_scikit_learns():
    generator, order = np.random.default_rng(0), [2, 0, 3, 1]
    rank = np.argsort(order)
    pairs = [generator.integers(0, 4, (2, 50)) for _ in range(6)]
    found = from_counts(np.stack([confusion_matrix(y, call) for y, call in pairs]), np.arange(4), order)
    for i, (y, call) in enumerate(pairs):
        assert found["accuracy"][i] == pytest.approx(accuracy_score(y, call))
        assert found["balanced_accuracy"][i] == pytest.approx(balanced_accuracy_score(y, call))
        assert found["macro_f1"][i] == pytest.approx(f1_score(y, call, average="macro"))
        assert found["kappa"][i] == pytest.approx(cohen_kappa_score(rank[y], rank[call], weights="quadratic"))


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
    counts = np.array([[[3, 1, 0], [0, 0, 0], [1, 0, 5]]])
    found = from_counts(counts, np.array([0, 2]), [0, 1, 2])
    assert found["balanced_accuracy"][0] == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert mean_of_known(np.array([[np.nan, 1.0, 3.0]])) == 2
