import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from functions import metrics


@pytest.fixture
def cohort():
    """40 patients of 3 classes with 5 slices each; slices of one patient nearly agree."""
    generator = np.random.default_rng(3)
    labels = np.repeat(generator.integers(0, 3, 40), 5)
    subjects = np.repeat(np.array([f"P{i:02d}" for i in range(40)]), 5)
    taste = np.repeat(generator.normal(size=(40, 3)), 5, axis=0)
    logits = taste + 0.9 * np.eye(3)[labels] + 0.1 * generator.normal(size=(200, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, labels, subjects


def test_scores_are_scikit_learns(cohort):
    probabilities, labels, _ = cohort
    result = metrics.scores(probabilities, labels, healthy=1)
    predicted = probabilities.argmax(axis=1)
    assert result["accuracy"] == accuracy_score(labels, predicted)
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert result["auroc"] == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert result["auroc_disease"] == pytest.approx(roc_auc_score(labels != 1, 1 - probabilities[:, 1]))


def test_a_class_nobody_has_does_not_count(cohort):
    probabilities, labels, _ = cohort
    keep = labels != 2
    result = metrics.scores(probabilities[keep], labels[keep])
    recalls = [np.mean(probabilities[labels == k].argmax(axis=1) == k) for k in (0, 1)]
    assert result["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert np.isfinite(result["auroc"])
    assert np.isnan(metrics.scores(probabilities[labels == 0], labels[labels == 0], healthy=0)["auroc_disease"])


def test_always_the_largest_class_scores_its_share():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    result = metrics.constant_scores(labels, largest=0, num_classes=3, healthy=0)
    assert result == pytest.approx({"accuracy": 0.6, "balanced_accuracy": 1 / 3, "auroc": 0.5, "auroc_disease": 0.5})
    assert metrics.constant_scores(labels, largest=3, num_classes=4)["accuracy"] == 0
    nobody_healthy = metrics.constant_scores(np.array([0, 0]), largest=0, num_classes=2, healthy=1)
    assert np.isnan(nobody_healthy["auroc_disease"])


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_auroc_is_scikit_learns(ties):
    generator = np.random.default_rng(0)
    score = generator.integers(0, 7, 60).astype(float) if ties else generator.normal(size=60)
    positive = generator.random(60) < 0.4
    weights = generator.integers(0, 4, (5, 60)).astype(float)
    expected = [roc_auc_score(positive, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(metrics.weighted_auroc(score, positive, weights), expected)


def test_patients_are_averaged_whatever_the_order_of_slices(cohort):
    probabilities, labels, subjects = cohort
    order = np.random.default_rng(1).permutation(len(labels))
    means, patient_labels, ids = metrics.by_patient(probabilities[order], labels[order], subjects[order])
    assert ids.tolist() == sorted(set(subjects))
    np.testing.assert_allclose(means, probabilities.reshape(40, 5, 3).mean(axis=1))
    assert (patient_labels == labels[::5]).all()


def test_a_patient_whose_stage_changed_counts_once_for_each_label():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    means, labels, ids = metrics.by_patient(probabilities, np.array([0, 0, 1]), np.array(["A", "A", "A"]))
    np.testing.assert_allclose(means, [[0.8, 0.2], [0.2, 0.8]])
    assert (labels.tolist(), ids.tolist()) == ([0, 1], ["A", "A"])


def test_resamples_draw_whole_patients_within_their_class(cohort):
    _, labels, subjects = cohort
    weights = np.concatenate(list(metrics.patient_weights(labels, subjects, resamples=50, seed=0, chunk=7)))
    by_person = weights.reshape(50, 40, 5)
    assert (by_person == by_person[:, :, :1]).all(), "all slices of a patient are drawn together"
    for k in range(3):
        assert (weights[:, labels == k].sum(axis=1) == (labels == k).sum()).all(), "class sizes stay"
    assert len(np.unique(weights, axis=0)) == 50


def test_intervals_hold_the_point_and_copies_of_slices_do_not_narrow_them(cohort):
    """Ten copies of every slice are no new patients: the interval must not move. Over slices it would shrink by √10."""
    probabilities, labels, subjects = cohort
    once = metrics.intervals(probabilities, labels, subjects, healthy=0)
    tenfold = [np.repeat(array, 10, axis=0) for array in (probabilities, labels, subjects)]
    copies = metrics.intervals(*tenfold, healthy=0)
    point = metrics.scores(probabilities, labels, healthy=0)
    for name, (low, high) in once.items():
        assert low < point[name] < high
        assert copies[name] == pytest.approx((low, high))


def test_intervals_equal_a_slow_bootstrap_with_scikit_learn(cohort):
    keep = np.random.default_rng(2).random(200) < 0.7         # patients of unequally many slices
    probabilities, labels, subjects = (array[keep] for array in cohort)
    weights = np.concatenate(list(metrics.patient_weights(labels, subjects, resamples=40, seed=5))).astype(int)
    slow = []
    for w in weights:
        rows = np.repeat(np.arange(len(labels)), w)
        slow.append(metrics.scores(probabilities[rows], labels[rows], healthy=2))
    fast = metrics.intervals(probabilities, labels, subjects, healthy=2, resamples=40, seed=5)
    for name, interval in fast.items():
        sample = np.array([s[name] for s in slow])
        np.testing.assert_allclose(interval, metrics.middle_95(sample, labels, subjects))


@pytest.mark.parametrize(("people", "outside"), [(10_000, 0.0250), (32, 0.0158), (6, 0.0)])
def test_few_people_widen_the_percentiles(people, outside):
    draws, labels = np.linspace(0, 1, 100_001), np.arange(people) % 3
    low, high = metrics.middle_95(draws, labels, np.arange(people))
    assert low == pytest.approx(outside, abs=2e-4)
    assert high == pytest.approx(1 - outside, abs=2e-4)
    assert metrics.middle_95(draws, np.zeros(10), np.arange(10))[0] == pytest.approx(0.0086, abs=2e-4)
    assert np.isnan(metrics.middle_95(draws, np.arange(3), np.arange(3))).all(), "one person a class"


def test_one_patient_has_no_interval():
    result = metrics.intervals(np.array([[0.6, 0.4]] * 3), np.array([0, 0, 0]), np.array(["A"] * 3))
    assert np.isnan(result["accuracy"]).all()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["MildDemented", "ModerateDemented", "NonDemented", "VeryMildDemented"], 2),
        (["Mild_Demented", "Non Demented"], 1),
        (["AD", "CN", "MCI"], 1),
        (["cats", "dogs"], None),
        (["Control", "HC", "AD"], None),
    ],
)
def test_the_class_without_disease_is_known_by_name(names, expected):
    assert metrics.healthy_class(names) == expected
