"""Slices to patients: one row per patient, and the classes with enough patients to be scored.

Arrays: probabilities (n, K), labels (n,) as class indices, subjects (n,) as any ids.
"""

import numpy as np
import pandas as pd

from functions.evaluation.intervals import FEW


def num_patients(subjects: np.ndarray) -> int:
    """The number of different ids."""
    return len(np.unique(subjects))


def scored_classes(labels: np.ndarray, subjects: np.ndarray) -> list[int]:
    """The classes with at least FEW patients; the others have counts but no scores."""
    return [int(k) for k in np.unique(labels) if num_patients(subjects[labels == k]) >= FEW]


def has_two_sides(positive: np.ndarray, subjects: np.ndarray | None = None) -> bool:
    """Whether both sides of an AUROC have rows or, with `subjects`, at least FEW patients."""
    if subjects is None:
        return bool(positive.any() and (~positive).any())
    return min(num_patients(subjects[positive]), num_patients(subjects[~positive])) >= FEW


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


def aggregated(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, np.ndarray]:
    """Aggregations of slices to patients, rows as in `by_patient`: mean, normalised median, share of predictions."""
    mean = by_patient(p, y, subjects)[0]
    votes = by_patient(np.eye(p.shape[1])[p.argmax(axis=1)], y, subjects)[0]
    median = pd.DataFrame(p).groupby([pd.Series(subjects).astype(str), y]).median().to_numpy()
    median = median / np.maximum(median.sum(axis=1, keepdims=True), 1e-12)
    return {"mean probability": mean, "median probability": median, "majority of slices": votes}
