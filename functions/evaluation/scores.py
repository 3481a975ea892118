"""The scores of one set of predictions and their intervals over patients.

Arrays: probabilities (n, K), labels (n,), subjects (n,). Values are computed by scikit-learn, or by formula where it
has no function (ECE). Intervals are over patients, one row each (`patients.by_patient`), because slices of one patient
are not independent. `classes` are those with enough patients (`patients.scored_classes`), over which means are taken.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, recall_score, roc_auc_score

from functions.evaluation.auroc import auroc, auroc_interval, mean_auroc
from functions.evaluation.calibration import ece
from functions.evaluation.intervals import (
    ENOUGH,
    ENOUGH_BRIER,
    FEWEST,
    mean_of_positives,
    mean_of_proportions,
    share_of_clusters,
)
from functions.evaluation.patients import has_two_sides, num_patients

SCORE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "auroc": "AUROC, mean over classes",
    "auroc_disease": "AUROC, diseased or not",
    "kappa": "kappa, quadratic weights",
    "brier": "Brier (0 to 2, lower is better)",
    "ece": "ECE (lower is better)",
}


def primary_score(healthy: int | None) -> str:
    """The score with a verdict; a single one, fixed in advance, to avoid multiple testing."""
    return "auroc" if healthy is None else "auroc_disease"


def points(p: np.ndarray, y: np.ndarray, order: Sequence[int], healthy: int | None = None,
           classes: Sequence[int] | None = None, subjects: np.ndarray | None = None) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1, AUROCs, quadratic-weighted kappa, Brier score and ECE.

    Means are over `classes` (default: all that occur); nan for fewer than two. With `subjects`, the patient ids of the
    rows, the AUROC of diseased-or-not is nan if a side has fewer than FEW patients. `order` ranks the classes by stage
    for kappa. Brier is Σ_k (p_k - y_k)² (0 … 2), ECE the mean |confidence - accuracy| over ten confidence bins.
    """
    predicted, seen, rank = p.argmax(axis=1), np.unique(y), np.argsort(order)
    chosen = seen if classes is None else np.asarray(classes, dtype=int)
    values = {"accuracy": accuracy_score(y, predicted), "balanced_accuracy": np.nan, "macro_f1": np.nan,
              "auroc": np.nan, "kappa": np.nan, "brier": brier(p, y).mean(),
              "ece": ece(p, y, np.ones((1, len(y))))[0]}
    if len(chosen) > 1:
        values["balanced_accuracy"] = recall_score(y, predicted, labels=chosen, average="macro", zero_division=0)
        values["macro_f1"] = f1_score(y, predicted, labels=chosen, average="macro", zero_division=0)
        values["auroc"] = np.mean([roc_auc_score(y == k, p[:, k]) for k in chosen])
    if len(seen) > 1:
        values["kappa"] = cohen_kappa_score(rank[y], rank[predicted], labels=np.arange(p.shape[1]), weights="quadratic")
    if healthy is not None:
        mixed = has_two_sides(y == healthy, subjects)
        values["auroc_disease"] = roc_auc_score(y != healthy, -p[:, healthy]) if mixed else np.nan
    return {name: float(value) for name, value in values.items()}


def brier(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ_k (p_k - y_k)² for each row."""
    return ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1)


def score_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, healthy: int | None,
                    classes: Sequence[int]) -> dict[str, tuple[float, float]]:
    """name → 95 % interval (low, high), for rows that are patients; other scores have no interval.

    AUROCs: Newcombe 2006. Accuracy and balanced accuracy, from FEWEST patients: Wilson, and MOVER over the classes.
    Mean AUROC over classes, from ENOUGH patients: MOVER with DeLong's correlations. Brier score: from ENOUGH_BRIER
    patients. If patients have several labels, hence several rows, only the clustered interval of accuracy is given.
    """
    right = p.argmax(axis=1) == y
    if num_patients(subjects) < len(y):
        return {"accuracy": share_of_clusters(right, subjects)}
    found = {"accuracy": share_of_clusters(right, subjects)}
    if len(y) >= FEWEST:
        found["balanced_accuracy"] = mean_of_proportions([right[y == k].sum() for k in classes],
                                                         [(y == k).sum() for k in classes])
    if p.shape[1] == len(classes) == 2:                  # the same AUROC for both classes
        found["auroc"] = auroc_interval(auroc(p[:, 1], y == 1)[0], *sides(y == 1))
    if len(y) >= ENOUGH_BRIER:
        found["brier"] = mean_of_positives(brier(p, y))
    if len(y) >= ENOUGH and len(classes) > 1 and "auroc" not in found:
        mean = mean_auroc([(p[:, k], y == k) for k in classes])
        found["auroc"] = mean.low, mean.high
    if healthy is not None and has_two_sides(y == healthy, subjects):
        found["auroc_disease"] = auroc_interval(auroc(-p[:, healthy], y != healthy)[0], *sides(y != healthy))
    return found


def slice_intervals(p: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> dict[str, tuple[float, float]]:
    """The clustered interval of slice accuracy; no other slice score has an interval."""
    return {"accuracy": share_of_clusters(p.argmax(axis=1) == y, subjects)}


def sides(positive: np.ndarray) -> tuple[int, int]:
    """(number of positives, number of negatives)."""
    return int(positive.sum()), int((~positive).sum())
