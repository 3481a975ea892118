"""What the same predictions score once the patients' labels are exchanged at random."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from functions.evaluation.confusion_scores import from_counts


def permuted(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], healthy: int | None,
             classes: Sequence[int], repeats: int, seed: int) -> dict[str, np.ndarray]:
    """The scores where more is better, of `repeats` permutations of labels among patients: name → (repeats,).

    A row is a patient, or one of a patient's labels (sessions of different stage). Predictions stay; patients exchange
    all their labels, with patients of as many. They are exchangeable if the network knows nothing and the number of
    slices does not follow the class; where it does, neither p-value nor interval holds: 13 to 16 % of p-values lie
    below 0.05 without signal where slices vary more than patients. Means are over `classes`; nan where a
    score is not defined. AUROC = (Σ ranks of the positives - n₁ (n₁ + 1) / 2) / (n₁ n₀), tied scores sharing
    their mean rank.
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
        result["auroc_disease"] = auroc(healthy)       # 1 - p tells the others as well as p tells the healthy
    return result


def can_move(asked: np.ndarray, subjects: np.ndarray) -> bool:
    """Whether any permutation changes what is `asked` of the rows: two patients of as many rows differ in it."""
    having: dict[int, set[tuple]] = {}
    for person in np.unique(subjects):
        rows = asked[subjects == person].tolist()
        having.setdefault(len(rows), set()).add(tuple(rows))
    return any(len(different) > 1 for different in having.values())


def _permutations(y: np.ndarray, subjects: np.ndarray, repeats: int, generator: np.random.Generator) -> np.ndarray:
    """Labels (repeats, n): each patient has all labels of another patient with as many rows."""
    _, person, count = np.unique(subjects, return_inverse=True, return_counts=True)
    rows = np.argsort(person, kind="stable")
    starts = np.cumsum(count) - count
    labels = np.empty((repeats, len(y)), dtype=y.dtype)
    for several in np.unique(count):
        places = rows[starts[count == several][:, None] + np.arange(several)]         # (patients, several)
        for repeat in range(repeats):
            labels[repeat, places] = y[places[generator.permutation(len(places))]]
    return labels
