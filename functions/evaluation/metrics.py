"""Scores as pure functions of arrays, computed by scikit-learn.

Arrays: probabilities (n, K), labels (n,) as class indices, subjects (n,) as any ids.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from functions.evaluation.intervals import FEW
from functions.evaluation.stages import healthy_stage


def healthy_class(class_names: list[str]) -> int | None:
    """The index of the class without disease, recognised by its name; None unless there is exactly one."""
    return healthy_stage(class_names)


def scored_classes(labels: np.ndarray, subjects: np.ndarray) -> list[int]:
    """The classes with at least FEW patients; the others have counts but no scores."""
    return [int(k) for k in np.unique(labels) if len(np.unique(subjects[labels == k])) >= FEW]


def scores(probabilities: np.ndarray, labels: np.ndarray, healthy: int | None = None,
           classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall) and macro AUROC (one-vs-rest), each in 0..1.

    With `healthy`, also `auroc_disease`, the AUROC of 1 - p(healthy) for diseased against healthy. Means are over
    `classes` (default: all that occur); nan for fewer than two. With `subjects`, the patient ids of the rows,
    `auroc_disease` is nan if a side has fewer than FEW patients.
    """
    predicted = probabilities.argmax(axis=1)
    chosen = np.unique(labels) if classes is None else np.asarray(classes, dtype=int)
    result = {"accuracy": float(accuracy_score(labels, predicted)), "balanced_accuracy": np.nan, "auroc": np.nan}
    if len(chosen) > 1:
        result["balanced_accuracy"] = float(recall_score(labels, predicted, labels=chosen, average="macro"))
        result["auroc"] = float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in chosen]))
    if healthy is not None:
        mixed = has_two_sides(labels == healthy, subjects)
        diseased = -probabilities[:, healthy]             # same ranking as 1 - p, without rounding
        result["auroc_disease"] = float(roc_auc_score(labels != healthy, diseased)) if mixed else np.nan
    return result


def has_two_sides(positive: np.ndarray, subjects: np.ndarray | None = None) -> bool:
    """Whether both sides of an AUROC have rows or, with `subjects`, at least FEW patients."""
    if subjects is None:
        return bool(positive.any() and (~positive).any())
    return min(len(np.unique(subjects[positive])), len(np.unique(subjects[~positive]))) >= FEW


def constant_scores(labels: np.ndarray, largest: int, num_classes: int, healthy: int | None = None,
                    classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """The scores of always predicting class `largest` of `num_classes` on the same labels."""
    return scores(np.eye(num_classes)[np.full(len(labels), largest)], labels, healthy, classes, subjects)


def by_patient(
    probabilities: np.ndarray, labels: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row per patient: mean probability over the patient's slices, label, id; in order of the ids.

    A patient whose slices have several labels (sessions of different stages) gives one row per label.
    """
    keys = list(zip(subjects.tolist(), labels.tolist(), strict=True))
    patients = sorted(set(keys), key=lambda key: (str(key[0]), key[1]))
    index = {patient: i for i, patient in enumerate(patients)}
    rows = np.array([index[key] for key in keys])
    totals = np.zeros((len(patients), probabilities.shape[1]))
    np.add.at(totals, rows, probabilities)
    means = totals / np.bincount(rows)[:, None]
    return means, np.array([label for _, label in patients]), np.array([subject for subject, _ in patients])
