"""Calibration: expected calibration error, reliability curve, and temperature scaling fitted on validation."""

import numpy as np
from scipy.optimize import minimize_scalar

BINS = 10                          # confidence bins of equal width: Guo et al. 2017


def ece(p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ_b |Σ_i∈b w_i (confidence_i - correct_i)| / Σ w over BINS bins of the confidence, for each row of weights.

    Probabilities (n, K), labels (n,), weights (R, n) → (R,). It is biased upwards for few patients.
    """
    return np.abs(weights @ _gaps(p, y)).sum(axis=1) / weights.sum(axis=1)


def _gaps(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    confidence = p.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return np.eye(BINS)[bins] * (confidence - (p.argmax(axis=1) == y))[:, None]         # (n, BINS)


def apply_temperature(p: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(ln p / T): T > 1 lowers the confidence, T < 1 raises it; the ranking of the classes does not change."""
    logits = np.log(np.clip(p, 1e-12, None)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def fit_temperature(p: np.ndarray, y: np.ndarray) -> float:
    """The T in [0.05, 20] that minimises the mean -ln p(true class). Source: Guo et al. 2017, arXiv 1706.04599."""
    def loss(log_t: float) -> float:
        return -np.log(np.clip(apply_temperature(p, np.exp(log_t))[np.arange(len(y)), y], 1e-12, None)).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def reliability(p: np.ndarray, y: np.ndarray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, number of rows) of each non-empty confidence bin."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return [(float(confidence[number == b].mean()), float(right[number == b].mean()), int((number == b).sum()))
            for b in range(bins) if (number == b).any()]
