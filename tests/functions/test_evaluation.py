import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    roc_auc_score,
)

from functions import evaluation
from functions.metrics import by_patient, patient_weights

ORDER = [1, 0, 2]      # class 1 is the mildest, then 0, then 2


def cohort(people=40, slices=5, signal=0.9, seed=3, own=1.0):
    """People of 3 classes; what the network thinks of a person (`own`) is shared by all of the person's slices."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 3, people), slices)
    subjects = np.repeat(np.array([f"P{i:03d}" for i in range(people)]), slices)
    taste = np.repeat(own * generator.normal(size=(people, 3)), slices, axis=0)
    logits = taste + signal * np.eye(3)[labels] + 0.1 * generator.normal(size=(people * slices, 3))
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True), labels, subjects


def test_points_are_scikit_learns():
    p, y, _ = cohort()
    found, call = evaluation.points(p, y, ORDER, healthy=1), p.argmax(1)
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
    one, other = evaluation.points(p, y, [0, 1, 2]), evaluation.points(p, y, ORDER)
    assert {name for name in one if one[name] != other[name]} == {"kappa"}


def test_draws_are_points_of_the_resampled_rows():
    p, y, subjects = cohort()
    weights = next(patient_weights(y, subjects, 7, seed=0))
    found = evaluation.draws(p, y, weights, ORDER, healthy=1)
    for i, row in enumerate(weights.astype(int)):
        again = np.repeat(np.arange(len(y)), row)
        expected = evaluation.points(p[again], y[again], ORDER, healthy=1)
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value), name


def test_ten_thousand_slices_take_seconds():
    p, y, subjects = cohort(people=320, slices=32)
    started = time.perf_counter()
    for weights in patient_weights(y, subjects, 2000, seed=0):
        evaluation.draws(p, y, weights, ORDER, healthy=1)
    print(f"2,000 resamples of 10,240 slices: {time.perf_counter() - started:.1f} s")


def test_a_good_network_is_told_from_guessing_and_a_blind_one_is_not():
    p, y, subjects = cohort(people=90, signal=1.5)
    means, labels, people = by_patient(p, y, subjects)
    good = evaluation.evaluate(means, labels, people, ORDER, largest=0, healthy=1, resamples=400)
    assert good["balanced_accuracy"]["verdict"] in ("better than guessing", "too good: check the split")
    assert good["auroc"]["p"] == pytest.approx(1 / 401)
    assert good["auroc"]["low"] < good["auroc"]["value"] < good["auroc"]["high"]
    assert good["auroc"]["null"] == pytest.approx(0.5, abs=0.03)
    assert "verdict" not in good["brier"]
    p, y, subjects = cohort(people=90, signal=0.0, seed=5)
    means, labels, people = by_patient(p, y, subjects)
    blind = evaluation.evaluate(means, labels, people, ORDER, largest=0, resamples=400)
    assert blind["balanced_accuracy"]["verdict"] == "cannot be told from guessing"


def test_too_good_is_said():
    assert evaluation.verdict("balanced_accuracy", value=0.99, low=0.97, constant=0.33, p=0.001) == (
        "too good: check the split")


def test_permutations_reject_in_five_percent_of_cohorts_without_signal():
    """400 cohorts of 24 people with 4 slices each: whole people are permuted, so slices being alike does no harm."""
    rejected = 0
    for seed in range(5000, 5400):
        p, y, subjects = cohort(people=24, slices=4, signal=0.0, seed=seed)
        null = evaluation.permuted(p, y, subjects, ORDER, None, repeats=39, seed=seed)["auroc"]
        rejected += (1 + (null >= evaluation.points(p, y, ORDER)["auroc"]).sum()) / 40 <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def test_intervals_cover_the_truth_and_those_over_slices_do_not():
    """500 cohorts of 60 people with 8 slices that agree: the accuracy of a slice of a new person is known."""
    truth = np.mean([evaluation.points(*cohort(4000, 1, seed=s)[:2], ORDER)["accuracy"] for s in range(20)])
    covered = {"people": 0, "slices": 0}
    for seed in range(500):
        p, y, subjects = cohort(people=60, slices=8, seed=1000 + seed)
        for unit, who in (("people", subjects), ("slices", np.arange(len(y)))):
            right = (p.argmax(1) == y).astype(float)
            sample = np.concatenate([w @ right / w.sum(1) for w in patient_weights(y, who, 300, seed=seed)])
            low, high = np.percentile(sample, [2.5, 97.5])
            covered[unit] += low <= truth <= high
    print({unit: count / 500 for unit, count in covered.items()})
    assert 0.93 <= covered["people"] / 500 <= 0.97
    assert covered["slices"] / 500 < 0.75


def test_two_networks_are_compared_on_the_same_patients():
    p, y, subjects = cohort(people=60, signal=1.5)
    q, _, _ = cohort(people=60, signal=0.3)
    found = evaluation.paired(p, q, y, subjects, ORDER, resamples=300)
    assert found["accuracy"]["difference"] == pytest.approx(
        accuracy_score(y, p.argmax(1)) - accuracy_score(y, q.argmax(1)))
    assert found["accuracy"]["low"] > 0
    itself = evaluation.paired(p, p, y, subjects, ORDER, resamples=50)
    assert all(row == {"difference": 0, "low": 0, "high": 0} for row in itself.values())


def test_classes_of_few_people_get_counts_and_no_scores():
    p, y, subjects = cohort(people=40)
    keep = ~((y == 2) & ~np.isin(subjects, subjects[y == 2][:11]))
    rows = evaluation.by_class(p[keep], y[keep], subjects[keep], ["a", "b", "c"], few=5)
    assert set(rows[2]) == {"class", "people", "rows"}
    assert rows[2]["people"] < 5
    assert rows[0]["sensitivity"] == pytest.approx((p[keep].argmax(1)[y[keep] == 0] == 0).mean())


def test_ways_from_slices_to_a_patient():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8]])
    ways = evaluation.aggregated(p, np.array([0, 0, 0, 1]), np.array(["A", "A", "A", "B"]))
    np.testing.assert_allclose(ways["mean probability"][0][0], [1.75 / 3, 1.25 / 3])
    np.testing.assert_allclose(ways["median probability"][0][0], [0.45, 0.55])
    np.testing.assert_allclose(ways["majority of slices"][0][0], [1 / 3, 2 / 3])
    assert ways["mean probability"][1].tolist() == [0, 1]
