"""Out-of-fold predictions of a repeated cross-validation, and their scores beside a baseline on the same folds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from functions.cross_validation.pooled import (
    Pooled,
    corrected_t,
    fold_aurocs,
    fold_differences,
    paired_auroc,
    pooled_auroc,
    pooled_balanced_accuracy,
)
from functions.evaluation.evaluation import Difference
from functions.evaluation.patients import FEW, by_patient, scored_classes
from functions.evaluation.predictions import probability_columns
from functions.evaluation.stages import healthy_stage


@dataclass(frozen=True)
class OutOfFold:
    """Patients: class probabilities (R, n, K) and folds (R, n) of R repeats, labels (n,) as class indices, ids (n,)."""

    class_names: list[str]
    labels: np.ndarray
    subjects: np.ndarray
    probabilities: np.ndarray
    folds: np.ndarray

    @property
    def num_folds(self) -> int:
        """Folds in each repeat."""
        return int(self.folds.max()) + 1

    @property
    def healthy(self) -> int | None:
        """The index of the healthy class, if one is known by its name."""
        return healthy_stage(self.class_names)

    def asked(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(scores (R, n), positive (n,)) of diseased-or-not, or of the second of two classes; None for other classes.
        """
        if self.healthy is not None:
            return 1 - self.probabilities[:, :, self.healthy], self.labels != self.healthy
        if len(self.class_names) == 2:
            return self.probabilities[:, :, 1], self.labels == 1
        return None


def from_slices(table: pd.DataFrame, class_names: list[str]) -> OutOfFold:
    """The mean over each patient's slices; `table` has the columns repeat, fold, path, subject, label and a
    probability column per class, every slice once per repeat.
    """
    columns, means, folds = probability_columns(class_names), [], []
    for _, part in table.groupby("repeat"):
        part = part.sort_values("path")
        labels = np.array([class_names.index(name) for name in part["label"]])
        values = part[["fold", *columns]].to_numpy(dtype=float)
        mean, patient_labels, ids = by_patient(values, labels, part["subject"].to_numpy())
        folds.append(mean[:, 0].round().astype(int))
        means.append(mean[:, 1:])
    return OutOfFold(class_names, patient_labels, ids, np.array(means), np.array(folds))


def scores(found: OutOfFold) -> dict[str, Pooled]:
    """AUROC of diseased-or-not (or of the second of two classes) and balanced accuracy, averaged over the repeats."""
    result, asked = {}, found.asked()
    if asked and asked[1].any() and not asked[1].all():
        result["auroc_disease" if found.healthy is not None else "auroc"] = pooled_auroc(*asked)
    if len(scored_classes(found.labels, found.subjects)) > 1:
        result["balanced_accuracy"] = pooled_balanced_accuracy(found.probabilities.argmax(axis=2), found.labels,
                                                               found.subjects)
    return result


def within_folds(found: OutOfFold) -> np.ndarray:
    """AUROC of each fold of each repeat on its own, where it has patients of both sides; empty for other classes."""
    asked = found.asked()
    values = np.array(fold_aurocs(*asked, found.folds)) if asked else np.array([])
    return values[np.isfinite(values)]


def class_notes(found: OutOfFold) -> list[str]:
    """A line for the classes with too few patients to be scored, and one for those that a fold's training has not."""
    classes = [np.flatnonzero(found.labels == k) for k in range(len(found.class_names))]
    scored = set(scored_classes(found.labels, found.subjects))
    few = [f"{name} {len(classes[k])}" for k, name in enumerate(found.class_names) if k not in scored]
    unseen = [name for rows, name in zip(classes, found.class_names, strict=True)
              if len(rows) and any(len(set(folds[rows])) == 1 for folds in found.folds)]
    return ([f"fewer than {FEW} patients, left out of balanced accuracy: {', '.join(few)}"] if few else []) + (
        [f"all patients of {', '.join(unseen)} are tested in one fold, whose network has seen none of them"]
        if unseen else [])


def differences(found: OutOfFold, baseline: OutOfFold) -> dict[str, Difference]:
    """AUROC minus the baseline's on the same patients and folds.

    "over patients" takes the trained networks as fixed, "within folds" (corrected t) includes their variation; it is of
    the repeats that both have.
    """
    asked, other = found.asked(), baseline.asked()
    if not asked or not other or asked[1].all() or not asked[1].any():
        return {}
    both = min(len(found.folds), len(baseline.folds))
    gaps = fold_differences(asked[0][:both], other[0][:both], asked[1], found.folds[:both])
    return {"over patients": paired_auroc(asked[0], other[0], asked[1]),
            "within folds": corrected_t(gaps, found.num_folds)}
