"""Scores computed from confusion matrices, vectorised over many matrices."""

from collections.abc import Sequence

import numpy as np


def from_counts(confusion: np.ndarray, seen: np.ndarray, order: Sequence[int]) -> dict[str, np.ndarray]:
    """Accuracy, balanced accuracy, macro F1, quadratic-weighted kappa (R,), sensitivity and specificity (R, K).

    `confusion` (R, K, K) counts, with true classes as rows; means are over the classes `seen`; `order` ranks the
    classes for kappa = 1 - Σ d² observed / Σ d² expected, nan for a single class. nan where a denominator is 0.
    """
    classes = confusion.shape[1]
    total = confusion.sum(axis=(1, 2))
    truth, called = confusion.sum(axis=2), confusion.sum(axis=1)                      # (R, K)
    hit = np.diagonal(confusion, axis1=1, axis2=2)
    rank = np.argsort(order)
    distance = (rank[:, None] - rank[None]) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = hit / truth
        specificity = 1 - (called - hit) / (total[:, None] - truth)
        expected = truth[:, :, None] * called[:, None, :] / total[:, None, None]
        agreement = 1 - (confusion * distance).sum(axis=(1, 2)) / (expected * distance).sum(axis=(1, 2))
        return {
            "accuracy": hit.sum(axis=1) / total,
            "balanced_accuracy": mean_of_known(sensitivity[:, seen]),
            "macro_f1": mean_of_known((2 * hit / (truth + called))[:, seen]),
            "kappa": agreement if len(seen) > 1 else np.full(len(confusion), np.nan),
            "sensitivity": sensitivity,
            "specificity": specificity.reshape(-1, classes),
        }


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """The mean along the last axis without nan; nan if all values are nan."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)
