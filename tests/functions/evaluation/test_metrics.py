import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from functions.evaluation import metrics


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


def test_classes_with_few_patients_are_not_scored():
    """Five patients of class 0, four of class 1 with many slices, six of class 2."""
    subjects = np.array([*range(5), *np.repeat(range(10, 14), 9), *range(20, 26)])
    labels = np.array([0] * 5 + [1] * 36 + [2] * 6)
    assert metrics.scored_classes(labels, subjects) == [0, 2]
    p = np.random.default_rng(0).dirichlet([1, 1, 1], len(labels))
    found = metrics.scores(p, labels, 0, [0, 2])
    call = p.argmax(axis=1)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(call[labels == k] == k).mean() for k in (0, 2)]))
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(labels == k, p[:, k]) for k in (0, 2)]))
    alone = metrics.scores(p, labels, 0, [2])
    assert np.isnan([alone["balanced_accuracy"], alone["auroc"]]).all()
    assert np.isnan(metrics.scores(p[1:], labels[1:], 0, [2], subjects[1:])["auroc_disease"]), "four healthy patients"
    many = np.repeat(np.arange(len(labels)), np.where(labels == 0, 30, 1))
    few = many[30:]
    assert np.isnan(metrics.scores(p[few], labels[few], 0, [2], subjects[few])["auroc_disease"]), "of many slices, too"
    assert np.isfinite(metrics.scores(p[1:], labels[1:], 0)["auroc_disease"]), "asked for all that occur"


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
