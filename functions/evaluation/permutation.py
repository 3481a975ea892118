"""Permutation test: scores of the same predictions after permuting the labels among patients."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from functions.evaluation.confusion_scores import from_counts


def permuted(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], healthy: int | None,
             classes: Sequence[int], repeats: int, seed: int) -> dict[str, np.ndarray]:
    """Scores (higher is better) for `repeats` permutations of the labels among patients: name → (repeats,).

    A row is a patient, or one label of a patient (sessions of different stages). Predictions are fixed; patients
    with the same number of rows exchange all their labels. They are exchangeable under the null hypothesis if the
    number of slices is independent of the class. Otherwise neither p-value nor interval is valid: 13 to 16 % of
    p-values are below 0.05 without signal if slices vary more than patients. Means are over `classes`; nan if a
    score is undefined. AUROC = (Σ ranks of the positives - n₁ (n₁ + 1) / 2) / (n₁ n₀), with mean ranks for ties.
    """
    labels, size = _permutations(y, subjects, repeats, np.random.default_rng(seed + 1)), p.shape[1]
    calls, ranks = np.eye(size)[p.argmax(axis=1)], rankdata(p, axis=0)
    of_class = [(labels == k).astype(float) for k in range(size)]

    def auroc(k: int) -> np.ndarray:
        positive = of_class[k].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            above = of_class[k] @ ranks[:, k] - positive * (positive + 1) / 2
            return above / (positive * (len(y) - positive))

    counted = from_counts(np.stack([one @ calls for one in of_class], axis=1), np.asarray(classes, dtype=int), order)
    result = {name: counted[name] for name in ("accuracy", "kappa")}
    several = len(classes) > 1
    for name in ("balanced_accuracy", "macro_f1"):
        result[name] = counted[name] if several else np.full(repeats, np.nan)
    result["auroc"] = np.mean([auroc(k) for k in classes], axis=0) if several else np.full(repeats, np.nan)
    if healthy is not None:
        result["auroc_disease"] = auroc(healthy)       # equals that of 1 - p for the diseased
    return result


def can_move(asked: np.ndarray, subjects: np.ndarray) -> bool:
    """Whether any permutation changes what is `asked` of the rows: two patients of as many rows differ in it."""
    having: dict[int, set[tuple]] = {}
    for person in np.unique(subjects):
        rows = asked[subjects == person].tolist()
        having.setdefault(len(rows), set()).add(tuple(rows))
    return any(len(different) > 1 for different in having.values())


def _permutations(y: np.ndarray, subjects: np.ndarray, repeats: int, generator: np.random.Generator) -> np.ndarray:
    """Labels (repeats, n): each patient gets all labels of a random patient with the same number of rows."""
    _, subject, count = np.unique(subjects, return_inverse=True, return_counts=True)
    rows = np.argsort(subject, kind="stable")
    starts = np.cumsum(count) - count
    labels = np.empty((repeats, len(y)), dtype=y.dtype)
    for several in np.unique(count):
        places = rows[starts[count == several][:, None] + np.arange(several)]         # (patients, several)
        for repeat in range(repeats):
            labels[repeat, places] = y[places[generator.permutation(len(places))]]
    return labels
