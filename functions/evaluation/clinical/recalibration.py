"""Calibration of the probability of disease: slope, intercept, and a recalibration curve with a band."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from scipy.stats import t

from functions.evaluation.clinical.results import Interval, Recalibration
from functions.evaluation.intervals import LEVEL, wilson

FEWEST = 60               # with fewer patients, slope, intercept and curve have no interval: low coverage
NEAREST = 1e-6            # probabilities of 0 and 1 have no logit: they count as this far from 0 and 1
POINTS, GROUPS = 41, 5    # of the curve, and groups of equally many patients
FARTHEST = 50.0           # of an end of an interval from 0, in logits or as a slope


def recalibration(p: np.ndarray, diseased: np.ndarray) -> Recalibration | None:
    """Maximum-likelihood a, b of logit P(y = 1) = a + b logit(p) for probabilities p (n,) and diseased y (n,) bool.

    Slope b: 1 is right, below 1 the probabilities are too extreme. Intercept a with b = 1 ("in the large"): 0 is right,
    above 0 disease is more frequent than predicted. Intervals, from FEWEST patients on: profile likelihood with t² of
    n - 2 degrees of freedom. The curve's band is pointwise, by the delta method on the logit scale; the groups have
    Wilson intervals. None if p separates the classes, or does not vary:
    then there is no maximum. Source: Cox 1958, Biometrika 45:562; Van Calster et al. 2016, J Clin Epidemiol 74:167.
    """
    x = logit(np.clip(p, NEAREST, 1 - NEAREST))
    if np.ptp(x) == 0 or x[diseased].min() >= x[~diseased].max() or x[diseased].max() <= x[~diseased].min():
        return None
    a, b = minimize(lambda w: loss(w[0] + w[1] * x, diseased), (0.0, 1.0), method="BFGS").x
    large = _offset(x, diseased)
    quantile = t.ppf((1 + LEVEL) / 2, len(p) - 2) if len(p) >= FEWEST else np.nan
    slope = _profile(lambda value: loss(value * x + _offset(value * x, diseased), diseased), b, quantile)
    intercept = _profile(lambda value: loss(value + x, diseased), large, quantile)
    return Recalibration(Interval(float(b), *slope), Interval(large, *intercept), _curve(p, x, a, b, quantile),
                         _groups(p, diseased))


def loss(scores: np.ndarray, y: np.ndarray) -> float:
    """-Σ ln P(y) with P(y = 1) = 1 / (1 + e^-score)."""
    return float(np.logaddexp(0, np.where(y, -scores, scores)).sum())


def _offset(scores: np.ndarray, y: np.ndarray) -> float:
    """The a that minimises the loss of a + scores: where the mean probability is the share of y."""
    return float(brentq(lambda a: expit(a + scores).mean() - y.mean(), -scores.max() - FARTHEST,
                        FARTHEST - scores.min()))


def _profile(loss_at: Callable[[float], float], best: float, quantile: float) -> tuple[float, float]:
    """(low, high): where twice the loss exceeds its minimum, at `best`, by quantile²; nan beyond FARTHEST."""
    least = loss_at(best)

    def excess(value: float) -> float:
        return 2 * (loss_at(value) - least) - quantile**2

    ends = []
    for far in (-FARTHEST, FARTHEST):
        ends.append(float(brentq(excess, best, far)) if abs(best) < FARTHEST and excess(far) > 0 else np.nan)
    return ends[0], ends[1]


def _curve(p: np.ndarray, x: np.ndarray, a: float, b: float, quantile: float) -> list[list[float]]:
    """(p, recalibrated p, low, high) between the smallest and the largest p."""
    grid = np.linspace(p.min(), p.max(), POINTS)
    at = logit(np.clip(grid, NEAREST, 1 - NEAREST))
    fitted = expit(a + b * x)
    design = np.stack([np.ones_like(x), x])
    covariance = np.linalg.inv((design * (fitted * (1 - fitted))) @ design.T)
    rows = np.stack([np.ones_like(at), at])
    half = quantile * np.sqrt((rows * (covariance @ rows)).sum(axis=0))
    return np.stack([grid, expit(a + b * at), expit(a + b * at - half), expit(a + b * at + half)], axis=1).tolist()


def _groups(p: np.ndarray, diseased: np.ndarray) -> list[list[float]]:
    """(mean p, share of diseased, low, high, patients) of GROUPS groups of equally many patients by p."""
    rows = []
    for group in np.array_split(np.argsort(p, kind="stable"), GROUPS):
        low, high = wilson(diseased[group].sum(), len(group))
        rows.append([float(p[group].mean()), float(diseased[group].mean()), float(low), float(high), float(len(group))])
    return rows
