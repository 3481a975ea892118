"""Scores of arrays: pure functions. Point values are scikit-learn's.

Arrays: probabilities (n, K), labels (n,) class numbers, subjects (n,) any ids.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from functions.evaluation.intervals import FEW
from functions.evaluation.stages import healthy_stage


def healthy_class(class_names: list[str]) -> int | None:
    """The number of the class without disease, known by its name; None where none is, or more than one."""
    return healthy_stage(class_names)


def scored_classes(labels: np.ndarray, subjects: np.ndarray) -> list[int]:
    """The classes with at least FEW patients: the others have counts, and no scores."""
    return [int(k) for k in np.unique(labels) if len(np.unique(subjects[labels == k])) >= FEW]


def scores(probabilities: np.ndarray, labels: np.ndarray, healthy: int | None = None,
           classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall), macro AUROC (each class against the rest), each in 0..1.

    With `healthy`, also `auroc_disease`: how well 1 - p(healthy) tells the diseased from the healthy. Means are over
    `classes` (all that occur); nan where there are fewer than two. With `subjects`, who the rows are of,
    `auroc_disease` is nan where a side has fewer than FEW patients.
    """
    predicted = probabilities.argmax(axis=1)
    chosen = np.unique(labels) if classes is None else np.asarray(classes, dtype=int)
    result = {"accuracy": float(accuracy_score(labels, predicted)), "balanced_accuracy": np.nan, "auroc": np.nan}
    if len(chosen) > 1:
        result["balanced_accuracy"] = float(recall_score(labels, predicted, labels=chosen, average="macro"))
        result["auroc"] = float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in chosen]))
    if healthy is not None:
        mixed = has_two_sides(labels == healthy, subjects)
        diseased = -probabilities[:, healthy]             # ranks as 1 - p does, and loses no digit
        result["auroc_disease"] = float(roc_auc_score(labels != healthy, diseased)) if mixed else np.nan
    return result


def has_two_sides(positive: np.ndarray, subjects: np.ndarray | None = None) -> bool:
    """Whether both sides of an AUROC have rows, and with `subjects` FEW patients each."""
    if subjects is None:
        return bool(positive.any() and (~positive).any())
    return min(len(np.unique(subjects[positive])), len(np.unique(subjects[~positive]))) >= FEW


def constant_scores(labels: np.ndarray, largest: int, num_classes: int, healthy: int | None = None,
                    classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """What answering always class `largest` of `num_classes` scores on the same labels."""
    return scores(np.eye(num_classes)[np.full(len(labels), largest)], labels, healthy, classes, subjects)


def by_patient(
    probabilities: np.ndarray, labels: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row a patient: mean probability over the patient's slices, label, id. Patients in order of their ids.

    A patient whose slices carry several labels (sessions of different stage) counts once for each label.
    """
    keys = list(zip(subjects.tolist(), labels.tolist(), strict=True))
    people = sorted(set(keys), key=lambda key: (str(key[0]), key[1]))
    number = {person: i for i, person in enumerate(people)}
    rows = np.array([number[key] for key in keys])
    totals = np.zeros((len(people), probabilities.shape[1]))
    np.add.at(totals, rows, probabilities)
    means = totals / np.bincount(rows)[:, None]
    return means, np.array([label for _, label in people]), np.array([subject for subject, _ in people])
