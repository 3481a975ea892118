"""Paired differences of the scores of two networks on the same patients, with intervals and p-values."""

import numpy as np
from scipy.stats import t

from functions.evaluation.auroc import Estimate, difference, mean_auroc
from functions.evaluation.evaluation import Difference
from functions.evaluation.intervals import ENOUGH, LEVEL, mean_of_clusters
from functions.evaluation.patients import has_two_sides, num_patients, scored_classes
from functions.evaluation.scores import brier

PAIRED = ("accuracy", "balanced_accuracy", "auroc", "auroc_disease", "brier")


def paired(p: np.ndarray, q: np.ndarray, y: np.ndarray, subjects: np.ndarray,
           healthy: int | None = None, constant: bool = False) -> dict[str, Difference]:
    """name → difference of the scores of p and q on the same patients with its 95 % interval; AUROCs with a p-value.

    Accuracy and Brier score by t over patients, balanced accuracy by t within classes, AUROCs by MOVER
    (`auroc.difference`; their p by DeLong), their mean over classes of ENOUGH patients. Where patients have several
    labels, hence rows, the former two alone have one. `constant`: q is the same for every patient, not just for these,
    so that its AUROC is 0.5 without error.
    """
    classes, one_each = scored_classes(y, subjects), num_patients(subjects) == len(y)
    right = (p.argmax(axis=1) == y) * 1.0 - (q.argmax(axis=1) == y)
    found: dict[str, tuple[float, ...]] = {
        name: (rows.mean(), *mean_of_clusters(rows, subjects))
        for name, rows in (("accuracy", right), ("brier", brier(p, y) - brier(q, y)))}
    if len(classes) > 1:
        parts = [right[y == k] for k in classes]
        found["balanced_accuracy"] = (np.mean([part.mean() for part in parts]), *_mean_difference(parts))
        found["auroc"] = _auroc_difference([(p[:, k], q[:, k], y == k) for k in classes], constant)
    if healthy is not None and has_two_sides(y == healthy, subjects):
        found["auroc_disease"] = _auroc_difference([(-p[:, healthy], -q[:, healthy], y != healthy)],
                                                 constant)
    result = {}
    for name, (gap, low, high, *chance) in found.items():
        mean_of_few = name == "auroc" and len(y) < ENOUGH and not p.shape[1] == len(classes) == 2
        if mean_of_few or not (one_each or name in ("accuracy", "brier")):
            low, high, chance = np.nan, np.nan, [np.nan] * len(chance)
        result[name] = Difference(float(gap), float(low), float(high), *map(float, chance))
    return {name: result[name] for name in PAIRED if name in result}


def _auroc_difference(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
                      constant: bool) -> tuple[float, float, float, float]:
    """(difference, low, high, p) of the mean AUROCs of two networks, of (one's score, the other's, positive)s."""
    first, second = (mean_auroc([(part[i], part[2]) for part in parts]) for i in (0, 1))
    if constant:
        second = Estimate(0.5, 0.5, 0.5, np.zeros_like(first.influence))
    return first.value - second.value, *difference(first, second)


def _mean_difference(parts: list[np.ndarray]) -> tuple[float, float]:
    """(low, high) of the mean over classes of the mean differences: t with Satterthwaite's degrees of freedom."""
    if len(parts) < 2:
        return np.nan, np.nan
    variances, counts = np.array([part.var(ddof=1) / len(part) for part in parts]), np.array(list(map(len, parts)))
    if not variances.sum() > 0:
        return np.nan, np.nan
    freedom = variances.sum() ** 2 / (variances**2 / (counts - 1)).sum()
    half = t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variances.sum()) / len(parts)
    centre = np.mean([part.mean() for part in parts])
    return float(centre - half), float(centre + half)
