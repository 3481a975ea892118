"""AUROC over patients with its 95 % interval, and the difference of two AUROCs on the same patients."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from functions.evaluation.intervals import LEVEL, mover_interval

Z = norm.ppf((1 + LEVEL) / 2)


def auroc(score: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """(AUROC = P(score⁺ > score⁻) + ½ P(score⁺ = score⁻), influence of each row (n,)); nan if a side is empty.

    The influence of a positive is (V_i - AUROC) / √(m (m - 1)), where V_i is the share of negatives below it; negatives
    are treated alike. Σ influence² is DeLong's variance, and Σ influence · influence' the covariance of two AUROCs on
    the same rows. Source: DeLong et al. 1988, Biometrics 44:837.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return np.nan, np.full(len(score), np.nan)
    influence = np.zeros(len(score))
    above = _share_below(score[positive], score[~positive])
    below = 1 - _share_below(score[~positive], score[positive])
    value = float(above.mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        influence[positive] = (above - value) / np.sqrt(m * (m - 1))
        influence[~positive] = (below - value) / np.sqrt(n * (n - 1))
    return value, influence


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each value, the share of `others` below it; ties count half."""
    others = np.sort(others)
    return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / (2 * len(others))


def auroc_interval(value: float, positives: int, negatives: int) -> tuple[float, float]:
    """(low, high): the two θ with (value - θ)² = z² V(θ), where V is Hanley and McNeil's variance of an AUROC θ.

    V(θ) = θ (1 - θ) (1 + N (1 - θ) / (2 - θ) + N θ / (1 + θ)) / (m n) with N = (m + n) / 2 - 1. The interval is also
    defined for AUROC 0 and 1, where DeLong's variance is 0. Source: Newcombe 2006, Stat Med 25:559, method 5.
    """
    if not (np.isfinite(value) and positives and negatives):
        return np.nan, np.nan
    pairs = positives * negatives
    return _newcombe(value, 1 / pairs, ((positives + negatives) / 2 - 1) / pairs)


def weighted_auroc_interval(value: float, weights: np.ndarray) -> tuple[float, float]:
    """(low, high) of Σ ω_ij ψ_ij, a share of pairs in the right order, weights ω (m, n) of sum 1: as `auroc_interval`.

    V(θ) = θ (1 - θ) (S + T (1 - θ) / (2 - θ) + T θ / (1 + θ)) with S = Σ ω_ij² and T the mean of Σ_i (Σ_j ω_ij)² - S
    and Σ_j (Σ_i ω_ij)² - S: pairs are correlated if they share a patient, as in Hanley and McNeil. With equal weights
    it is `auroc_interval`.
    """
    if not (np.isfinite(value) and weights.sum() > 0):
        return np.nan, np.nan
    alone = float(np.square(weights).sum())
    shared = [float(np.square(weights.sum(axis=axis)).sum()) - alone for axis in (0, 1)]
    return _newcombe(value, alone, sum(shared) / 2)


def _newcombe(value: float, alone: float, shared: float) -> tuple[float, float]:
    """The two θ with (value - θ)² = z² θ (1 - θ) (alone + shared ((1 - θ) / (2 - θ) + θ / (1 + θ)))."""
    def too_far(theta: float) -> float:
        spread = alone + shared * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return abs(value - theta) - Z * np.sqrt(theta * (1 - theta) * spread)

    tiny = 1e-9
    inside = float(np.clip(value, 2 * tiny, 1 - 2 * tiny))
    low = brentq(too_far, tiny, inside) if too_far(tiny) > 0 else 0.0
    high = brentq(too_far, inside, 1 - tiny) if too_far(1 - tiny) > 0 else 1.0
    return float(low), float(high)


def mean_auroc_interval(values: Sequence[float], influences: Sequence[np.ndarray],
                        sizes: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """(low, high) of the mean of AUROCs on the same rows; `sizes` are (positives, negatives); nan if there are none.

    MOVER (`mover_interval`) over the individual intervals, with DeLong's correlations.
    """
    if not len(values):
        return np.nan, np.nan
    lows, highs = np.array([auroc_interval(value, *size) for value, size in zip(values, sizes, strict=True)]).T
    return mover_interval(np.asarray(values), lows, highs, _correlation(np.stack(influences)))


class Estimate(NamedTuple):
    """An AUROC, or a mean of them: its value, the ends of its 95 % interval, and each row's influence (n,)."""

    value: float
    low: float
    high: float
    influence: np.ndarray


def mean_auroc(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """The mean of the AUROCs of (score, positive)s on the same rows, with its interval and influence."""
    values, influences = zip(*(auroc(*part) for part in parts), strict=True)
    sizes = [(int(positive.sum()), int((~positive).sum())) for _, positive in parts]
    ends = mean_auroc_interval(values, influences, sizes)
    return Estimate(float(np.mean(values)), *ends, np.mean(influences, axis=0))


def difference(first: Estimate, second: Estimate) -> tuple[float, float, float]:
    """(low, high, two-sided p) of first - second on the same rows.

    MOVER: low = gap - √((v₁ - l₁)² + (u₂ - v₂)² - 2 r (v₁ - l₁)(u₂ - v₂)), high alike with the other ends, r being
    DeLong's correlation; 0, which is wider, where either does not vary. p is normal, with DeLong's variance
    Σ (influence₁ - influence₂)²; nan where that is 0. So p < 0.05 and an interval without 0 need not agree. All are
    nan, that is undefined, for identical rankings. Source: Zou and Donner 2008, Stat Med 27:1693.
    """
    gap, one, other = first.value - second.value, first.influence, second.influence
    scale = np.sqrt((one @ one) * (other @ other))
    r = min(1.0, float(one @ other / scale)) if scale > 0 else 0.0
    error = np.sqrt(np.square(one - other).sum())
    if scale > 0 and not error > 0:
        return np.nan, np.nan, np.nan
    low = gap - _joined(first.value - first.low, second.high - second.value, r)
    high = gap + _joined(first.high - first.value, second.value - second.low, r)
    return low, high, float(2 * norm.sf(abs(gap) / error)) if error > 0 else np.nan


def _joined(one: float, other: float, r: float) -> float:
    return float(np.sqrt(max(0.0, one**2 + other**2 - 2 * r * one * other)))


def _correlation(influences: np.ndarray) -> np.ndarray:
    """DeLong's correlations (K, K); 1, the conservative value, if one of the estimates does not vary."""
    covariance = influences @ influences.T
    scale = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.outer(scale, scale)
    return np.where(np.isfinite(correlation), correlation, 1.0)
