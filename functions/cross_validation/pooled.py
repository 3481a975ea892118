"""Scores of a repeated cross-validation: each patient is tested once per repeat, by a model that was not trained on it.

Intervals are over patients: a score is first averaged over the repeats, so that repeats make it more precise with
respect to the division into folds, but never with respect to the number of patients. They describe new patients scored
by models of this kind as if training were fixed; `corrected_t` adds the variation between training sets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from functions.evaluation.auroc import Estimate, auroc, difference, mean_auroc
from functions.evaluation.evaluation import Difference
from functions.evaluation.intervals import LEVEL, mean_of_proportions
from functions.evaluation.patients import scored_classes


class Pooled(NamedTuple):
    """A score averaged over repeats with its 95 % interval over patients, and the SD between repeats (nan for one)."""

    value: float
    low: float
    high: float
    sd: float


def auroc_over_repeats(scores: np.ndarray, positive: np.ndarray) -> Estimate:
    """The mean over repeats of the AUROC of all out-of-fold scores (R, n) of patients, with its interval and influence.

    Each repeat's AUROC compares all patients, also those scored by different models. The repeats are R scores of the
    same patients, so the interval is that of a mean of correlated AUROCs (`auroc.mean_auroc`).
    """
    return mean_auroc([(score, positive) for score in scores])


def pooled_auroc(scores: np.ndarray, positive: np.ndarray) -> Pooled:
    """`auroc_over_repeats` with the SD between repeats."""
    found = auroc_over_repeats(scores, positive)
    return Pooled(found.value, found.low, found.high, _sd([auroc(score, positive)[0] for score in scores]))


def pooled_balanced_accuracy(predicted: np.ndarray, labels: np.ndarray, subjects: np.ndarray) -> Pooled:
    """The mean over repeats of the balanced accuracy of `predicted` classes (R, n), over classes with enough patients.

    The interval is MOVER over the classes' Wilson intervals, where a patient counts as the share of repeats in which
    its class was predicted: that of one repeat's proportions, hence slightly too wide for their mean over repeats.
    """
    classes = scored_classes(labels, subjects)
    right = predicted == labels
    of_class = [right[:, labels == k] for k in classes]
    low, high = mean_of_proportions([part.mean(axis=0).sum() for part in of_class],
                                    [part.shape[1] for part in of_class])
    each = np.mean([part.mean(axis=1) for part in of_class], axis=0)
    return Pooled(float(each.mean()), float(low), float(high), _sd(each))


def paired_auroc(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> Difference:
    """AUROC of `first` minus that of `second`, out-of-fold scores (R, n) and (S, n) of the same patients.

    With the interval and p-value over patients of `auroc.difference`: the network's training is taken as fixed.
    """
    one, other = auroc_over_repeats(first, positive), auroc_over_repeats(second, positive)
    return Difference(one.value - other.value, *difference(one, other))


def fold_differences(first: np.ndarray, second: np.ndarray, positive: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """AUROC of `first` minus that of `second` within each fold of each repeat; all arrays (R, n) but `positive` (n,).

    Folds with patients of one side only have no AUROC and are omitted.
    """
    found = np.array(fold_aurocs(first, positive, folds)) - np.array(fold_aurocs(second, positive, folds))
    return found[np.isfinite(found)]


def fold_aurocs(scores: np.ndarray, positive: np.ndarray, folds: np.ndarray) -> list[float]:
    """The AUROC within each fold of each repeat, scores and folds (R, n); nan for a fold with one side only."""
    return [auroc(score[fold == number], positive[fold == number])[0]
            for score, fold in zip(scores, folds, strict=True) for number in np.unique(fold)]


def corrected_t(differences: Sequence[float] | np.ndarray, folds: int) -> Difference:
    """Mean of the fold-wise differences of a repeated k-fold cross-validation, with the corrected resampled t-test.

    Variance of the mean: (1 / J + 1 / (k - 1)) S², with J differences of sample variance S²; t has J - 1 degrees of
    freedom. The second term, the ratio of test to training patients, accounts for training sets that overlap: the
    uncorrected S² / J would be too small. Source: Nadeau and Bengio 2003, Mach Learn 52:239; for repeated k-fold,
    Bouckaert and Frank 2004.
    """
    values = np.asarray(differences, dtype=float)
    count = len(values)
    if count < 2:
        return Difference(float(values.mean()) if count else np.nan, np.nan, np.nan, np.nan)
    error = np.sqrt((1 / count + 1 / (folds - 1)) * values.var(ddof=1))
    mean, half = float(values.mean()), float(t.ppf((1 + LEVEL) / 2, count - 1) * error)
    p = float(2 * t.sf(abs(mean) / error, count - 1)) if error > 0 else np.nan
    return Difference(mean, mean - half, mean + half, p)


def _sd(values: Sequence[float] | np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
