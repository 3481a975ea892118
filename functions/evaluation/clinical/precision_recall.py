"""Average precision over patients."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from functions.evaluation.clinical.results import Interval
from functions.evaluation.intervals import ENOUGH, LEVEL

Z = norm.ppf((1 + LEVEL) / 2)


def average_precision(score: np.ndarray, diseased: np.ndarray) -> Interval:
    """Σ (R_i - R_{i-1}) P_i over the thresholds of the score (n,), by scikit-learn; diseased (n,) bool.

    P is precision, R recall. A score without information has about the share of diseased patients. Interval, from
    ENOUGH patients on: that of logit θ with variance 1 / (m θ (1 - θ)), m diseased patients; none for θ = 1. Source:
    Boyd, Eng and Page 2013, ECML PKDD, "logit".
    """
    value = float(average_precision_score(diseased, score))
    if len(score) < ENOUGH or not 0 < value < 1:
        return Interval(value)
    half = Z / np.sqrt(diseased.sum() * value * (1 - value))
    return Interval(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)))
