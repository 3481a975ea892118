import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from functions.evaluation.evaluate import evaluate_slices
from functions.evaluation.patients import aggregated, by_patient, scored_classes
from functions.evaluation.scores import points
from functions.evaluation.stages import healthy_stage


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


def test_a_class_nobody_has_does_not_count(cohort):
    probabilities, labels, _ = cohort
    keep = labels != 2
    result = points(probabilities[keep], labels[keep], range(3))
    recalls = [np.mean(probabilities[labels == k].argmax(axis=1) == k) for k in (0, 1)]
    assert result["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert np.isfinite(result["auroc"])
    assert np.isnan(points(probabilities[labels == 0], labels[labels == 0], range(3), 0)["auroc_disease"])


def test_always_the_largest_class_scores_its_share():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    ids = np.array([f"P{number}" for number in range(10)])
    evaluated = evaluate_slices(np.eye(3)[labels], labels, ids, range(3), 0, healthy=0)
    assert evaluated["accuracy"]["constant"] == 0.6
    always = points(np.eye(3)[np.zeros(10, int)], labels, range(3), 0)
    expected = {"accuracy": 0.6, "balanced_accuracy": 1 / 3, "auroc": 0.5, "auroc_disease": 0.5, "kappa": 0}
    assert {name: always[name] for name in expected} == pytest.approx(expected)
    assert evaluate_slices(np.eye(4)[labels], labels, ids, range(4), 3)["accuracy"]["constant"] == 0
    assert np.isnan(points(np.eye(2)[[0, 0]], np.array([0, 0]), range(2), 1)["auroc_disease"])


def test_patients_are_averaged_whatever_the_order_of_slices(cohort):
    probabilities, labels, subjects = cohort
    order = np.random.default_rng(1).permutation(len(labels))
    means, patient_labels, ids = by_patient(probabilities[order], labels[order], subjects[order])
    assert ids.tolist() == sorted(set(subjects))
    np.testing.assert_allclose(means, probabilities.reshape(40, 5, 3).mean(axis=1))
    assert (patient_labels == labels[::5]).all()


def test_a_patient_whose_stage_changed_counts_once_for_each_label():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    means, labels, ids = by_patient(probabilities, np.array([0, 0, 1]), np.array(["A", "A", "A"]))
    np.testing.assert_allclose(means, [[0.8, 0.2], [0.2, 0.8]])
    assert (labels.tolist(), ids.tolist()) == ([0, 1], ["A", "A"])


def test_classes_with_few_patients_are_not_scored():
    """Five patients of class 0, four of class 1 with many slices, six of class 2."""
    subjects = np.array([*range(5), *np.repeat(range(10, 14), 9), *range(20, 26)])
    labels = np.array([0] * 5 + [1] * 36 + [2] * 6)
    assert scored_classes(labels, subjects) == [0, 2]
    p = np.random.default_rng(0).dirichlet([1, 1, 1], len(labels))
    found = points(p, labels, range(3), 0, [0, 2])
    call = p.argmax(axis=1)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([(call[labels == k] == k).mean() for k in (0, 2)]))
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(labels == k, p[:, k]) for k in (0, 2)]))
    alone = points(p, labels, range(3), 0, [2])
    assert np.isnan([alone["balanced_accuracy"], alone["auroc"]]).all()
    assert np.isnan(points(p[1:], labels[1:], range(3), 0, [2], subjects[1:])["auroc_disease"]), "four healthy patients"
    many = np.repeat(np.arange(len(labels)), np.where(labels == 0, 30, 1))
    few = many[30:]
    of_few = points(p[few], labels[few], range(3), 0, [2], subjects[few])
    assert np.isnan(of_few["auroc_disease"]), "of many slices, too"
    assert np.isfinite(points(p[1:], labels[1:], range(3), 0)["auroc_disease"]), "asked for all that occur"


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
    assert healthy_stage(names) == expected


def test_ways_from_slices_to_a_patient():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.45, 0.55]])
    y, who = np.array([0, 1, 0, 0]), np.array(["A", "B", "A", "A"])
    ways = aggregated(p, y, who)
    np.testing.assert_allclose(ways["mean probability"], [[1.75 / 3, 1.25 / 3], [0.2, 0.8]])
    np.testing.assert_allclose(ways["median probability"], [[0.45, 0.55], [0.2, 0.8]])
    np.testing.assert_allclose(ways["majority of slices"], [[1 / 3, 2 / 3], [0, 1]])
    assert by_patient(p, y, who)[1].tolist() == [0, 1]
