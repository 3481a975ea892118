"""A threshold fixed on validation patients, and its sensitivity, specificity and predictive values on test patients."""

from collections.abc import Sequence

import numpy as np

from functions.evaluation.clinical.results import Interval, OperatingPoint, PredictiveValues
from functions.evaluation.intervals import FEWEST, wilson

SPECIFICITY = 0.9         # at which sensitivity is reported; fixed in advance


def least_healthy(specificity: float) -> int:
    """The smallest number of healthy validation patients of whom the threshold leaves at least one positive."""
    return int(np.ceil(1 / (1 - specificity) - 1e-9))


def threshold_at(score: np.ndarray, diseased: np.ndarray, specificity: float) -> float:
    """The smallest score t of a healthy patient with P(score ≤ t | healthy) ≥ specificity; positive: score > t."""
    return float(np.quantile(score[~diseased], specificity, method="inverted_cdf"))


def operating_point(score: np.ndarray, diseased: np.ndarray, val_score: np.ndarray, val_diseased: np.ndarray,
                    prevalences: Sequence[float], specificity: float = SPECIFICITY) -> OperatingPoint:
    """The threshold of validation patients applied to test patients: scores P(diseased) (n,), diseased (n,) bool.

    Wilson intervals over test patients, from FEWEST patients on; the threshold is taken as fixed. PPV and NPV are those
    of this sensitivity and specificity in populations of each of the `prevalences`.
    """
    threshold = threshold_at(val_score, val_diseased, specificity)
    positive, few = score > threshold, len(score) < FEWEST
    counts = {"sensitivity": (positive[diseased].sum(), diseased.sum()),
              "specificity": ((~positive[~diseased]).sum(), (~diseased).sum())}
    found = {}
    for name, (hits, count) in counts.items():
        low, high = (np.nan, np.nan) if few else wilson(hits, count)
        found[name] = Interval(float(hits / count), float(low), float(high))
    predictive = [predictive_values(**found, prevalence=prevalence) for prevalence in prevalences]
    return OperatingPoint(specificity, threshold, int((~val_diseased).sum()), **found, predictive=predictive)


def predictive_values(sensitivity: Interval, specificity: Interval, prevalence: float) -> PredictiveValues:
    """PPV = 1 / (1 + (1 - π) / (π LR⁺)) and NPV = 1 / (1 + π LR⁻ / (1 - π)) with their intervals, at prevalence π.

    LR⁺ = sensitivity / (1 - specificity), LR⁻ = (1 - sensitivity) / specificity. The intervals are those of the
    likelihood ratios (`ratio_interval`), since π is stated, not estimated. PPV is nan if no patient is positive.
    """
    odds = prevalence / (1 - prevalence)
    alarms, misses = _complement(specificity), _complement(sensitivity)
    ppv = [1.0 if np.isinf(ratio) else ratio * odds / (1 + ratio * odds) for ratio in _ratio(sensitivity, alarms)]
    npv, high, low = (1 / (1 + ratio * odds) for ratio in _ratio(misses, specificity))
    return PredictiveValues(prevalence, Interval(*ppv), Interval(npv, low, high))


def _ratio(first: Interval, second: Interval) -> tuple[float, float, float]:
    """(ratio, low, high) of two independent shares; the ratio is infinite if only the second is 0, nan if both are."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.float64(first.value) / np.float64(second.value)
    return float(value), *ratio_interval(first, second)


def ratio_interval(first: Interval, second: Interval) -> tuple[float, float]:
    """(low, high) of the ratio θ₁ / θ₂ of two independent shares with intervals [l₁, u₁] and [l₂, u₂].

    MOVER: low = (θ₁ θ₂ - √((θ₁ θ₂)² - l₁ (2 θ₁ - l₁) u₂ (2 θ₂ - u₂))) / (u₂ (2 θ₂ - u₂)), high alike with the other
    ends and +; written as l₁ (2 θ₁ - l₁) / (θ₁ θ₂ + √…), also defined where u₂ = 2 θ₂. nan if both shares are 0, or
    without intervals. Source: Donner and Zou 2012, Stat Methods Med Res 21:347.
    """
    product = first.value * second.value
    if not first.value + second.value > 0 or np.isnan(first.low + second.low):
        return np.nan, np.nan
    lower = first.low * (2 * first.value - first.low)
    upper = second.high * (2 * second.value - second.high)
    scale = product + np.sqrt(max(0.0, product**2 - lower * upper))
    low = max(0.0, lower / scale) if scale > 0 else 0.0
    lower = second.low * (2 * second.value - second.low)
    upper = first.high * (2 * first.value - first.high)
    high = (product + np.sqrt(max(0.0, product**2 - lower * upper))) / lower if lower > 0 else np.inf
    return float(low), float(high)


def _complement(share: Interval) -> Interval:
    return Interval(1 - share.value, 1 - share.high, 1 - share.low)
