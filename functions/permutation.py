"""What the same predictions score once the patients' labels are handed out at random."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from functions.confusion_scores import from_counts


def permuted(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], healthy: int | None,
             repeats: int, seed: int) -> dict[str, np.ndarray]:
    """The scores where more is better, of `repeats` permutations of labels among whole patients: name → (repeats,).

    Predictions stay. All permutations at once: a pattern of labels (R, patients) times what each patient contributes.
    AUROC = (Σ ranks of the positives - n₁(n₁ + 1)/2) / (n₁ n₀), tied scores sharing their mean rank.
    """
    generator, classes = np.random.default_rng(seed + 1), p.shape[1]
    _, first, person = np.unique(subjects, return_index=True, return_inverse=True)
    labels = np.stack([y[first][generator.permutation(len(first))] for _ in range(repeats)])      # (R, patients)
    calls, ranks = np.zeros((2, len(first), classes))
    np.add.at(calls, (person, p.argmax(axis=1)), 1)
    np.add.at(ranks, person, rankdata(p, axis=0))
    of_class = [(labels == k).astype(float) for k in range(classes)]
    size = calls.sum(axis=1)

    def auroc(k: int) -> np.ndarray:
        positive = of_class[k] @ size
        with np.errstate(invalid="ignore", divide="ignore"):
            above = of_class[k] @ ranks[:, k] - positive * (positive + 1) / 2
            return above / (positive * (size.sum() - positive))

    seen = np.unique(y)
    counted = from_counts(np.stack([one @ calls for one in of_class], axis=1), seen, order)
    result = {name: counted[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "kappa")}
    result["auroc"] = np.mean([auroc(k) for k in seen], axis=0)
    if healthy is not None:
        result["auroc_disease"] = auroc(healthy)       # 1 - p tells the others as well as p tells the healthy
    return result
