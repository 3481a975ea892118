import numpy as np
import pytest
from scipy.stats import t
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

from functions.evaluation.auroc import auroc_interval
from functions.evaluation.intervals import mean_of_positives, mean_of_proportions, share_of_clusters, wilson
from functions.evaluation.patients import by_patient
from functions.evaluation.permutation import from_counts
from functions.evaluation.scores import points, score_intervals, slice_intervals
from tests.functions.evaluation.cohorts import ORDER, cohort, people_of


def test_points_are_scikit_learns():
    p, y, _ = cohort()
    found, call = points(p, y, ORDER, healthy=1), p.argmax(1)
    rank = np.array([1, 0, 2])
    assert found["accuracy"] == accuracy_score(y, call)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, call))
    assert found["macro_f1"] == pytest.approx(f1_score(y, call, average="macro"))
    assert found["auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    assert found["auroc_disease"] == pytest.approx(roc_auc_score(y != 1, 1 - p[:, 1]))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(rank[y], rank[call], weights="quadratic"))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p))
    bins = np.minimum((p.max(1) * 10).astype(int), 9)
    expected = sum(abs((p.max(1) - (call == y))[bins == b].sum()) for b in range(10)) / len(y)
    assert found["ece"] == pytest.approx(expected)


def test_the_order_of_stages_changes_kappa_alone():
    p, y, _ = cohort()
    one, other = points(p, y, [0, 1, 2]), points(p, y, ORDER)
    assert {name for name in one if one[name] != other[name]} == {"kappa"}


def test_means_are_over_the_classes_that_are_scored():
    p, y, _ = people_of(3)
    found, call = points(p, y, ORDER, healthy=1, classes=[0, 2]), p.argmax(1)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(call[y == k] == k).mean() for k in (0, 2)]))
    assert found["macro_f1"] == pytest.approx(f1_score(y, call, labels=[0, 2], average="macro"))
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in (0, 2)]))
    alone = points(p, y, ORDER, healthy=1, classes=[1])
    assert np.isnan([alone["balanced_accuracy"], alone["macro_f1"], alone["auroc"]]).all()
    assert alone["kappa"] == found["kappa"], "over all patients"


def test_every_score_of_patients_has_the_interval_that_was_chosen_for_it():
    p, y, who = people_of(3)
    found = score_intervals(p, y, who, 1, [0, 1, 2])
    right, n = (p.argmax(1) == y).sum(), len(y)
    assert found["accuracy"] == pytest.approx(tuple(wilson(right, n, t.ppf(0.975, n - 1))))
    hits = [(p.argmax(1)[y == k] == k).sum() for k in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(mean_of_proportions(hits, np.bincount(y)))
    assert found["auroc_disease"] == pytest.approx(auroc_interval(
        roc_auc_score(y != 1, -p[:, 1]), (y != 1).sum(), (y == 1).sum()))
    assert found["brier"] == pytest.approx(mean_of_positives(((p - np.eye(3)[y]) ** 2).sum(axis=1)))
    assert set(found) == {"accuracy", "balanced_accuracy", "auroc", "auroc_disease", "brier"}
    value = points(p, y, ORDER, 1)
    assert all(low < value[name] < high for name, (low, high) in found.items())
    both = {"accuracy", "balanced_accuracy"}
    for few, given in ((19, {"accuracy"}), (20, both), (29, both), (30, both | {"auroc"}), (39, both | {"auroc"})):
        assert set(score_intervals(p[:few], y[:few], who[:few], None, [0, 1, 2])) == given, "of so few"
    assert np.isnan(score_intervals(p[:19], y[:19], who[:19], None, [0, 1, 2])["accuracy"]).all()


def test_intervals_of_slices_are_those_of_their_patients():
    """Nine copies of each slice are no evidence; an interval over slices would be three times too narrow."""
    p, y, who = cohort(slices=3)
    often = [np.repeat(part, 9, axis=0) for part in (p, y, who)]
    one, nine = slice_intervals(p, y, who), slice_intervals(*often)
    assert one == {"accuracy": pytest.approx(nine["accuracy"])}
    low, high = one["accuracy"]
    patients = score_intervals(*by_patient(p, y, who), 1, [0, 1, 2])["accuracy"]
    assert high - low > 0.8 * (patients[1] - patients[0])


def test_intervals_cover_the_truth_and_those_over_slices_do_not():
    """300 cohorts of 60 people with 8 slices that agree; the accuracy of new people is known. The whole table:
    python -m benchmarks coverage.
    """
    truth = np.mean([points(*people_of(s, 4000, slices=8)[:2], ORDER)["accuracy"] for s in range(5)])
    slices = np.mean([points(*cohort(4000, 1, seed=s)[:2], ORDER)["accuracy"] for s in range(5)])
    covered = {"patients": 0, "slices of patients": 0, "slices": 0}
    for seed in range(300):
        p, y, who = cohort(people=60, slices=8, seed=1000 + seed)
        for unit, target, (low, high) in (
                ("patients", truth, share_of_clusters(np.equal(*_called(*by_patient(p, y, who)[:2])), np.arange(60))),
                ("slices of patients", slices, share_of_clusters(p.argmax(1) == y, who)),
                ("slices", slices, share_of_clusters(p.argmax(1) == y, np.arange(len(y))))):
            covered[unit] += low <= target <= high
    assert 0.92 <= covered["patients"] / 300 <= 0.985
    assert 0.92 <= covered["slices of patients"] / 300 <= 0.985
    assert covered["slices"] / 300 < 0.75


def _called(p, y):
    return p.argmax(1), y


def test_stages_are_ranked_by_the_order_and_not_by_its_inverse():
    """[1, 2, 0] is not its own inverse: class 1 is stage 0, class 2 stage 1, class 0 stage 2."""
    p, y, _ = cohort()
    stage = {1: 0, 2: 1, 0: 2}
    truth, call = ([stage[k] for k in each] for each in (y, p.argmax(1)))
    expected = cohen_kappa_score(truth, call, weights="quadratic")
    assert points(p, y, [1, 2, 0])["kappa"] == pytest.approx(expected)
    calls = np.zeros((1, 3, 3))
    np.add.at(calls[0], (y, p.argmax(1)), 1)
    assert from_counts(calls, np.arange(3), [1, 2, 0])["kappa"][0] == pytest.approx(expected)
    assert points(p, y, [2, 0, 1])["kappa"] != pytest.approx(expected), "the inverse"
