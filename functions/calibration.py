"""Probabilities that mean what they say: one temperature, fitted on validation."""

import numpy as np
from scipy.optimize import minimize_scalar


def apply_temperature(p: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(ln p / T): above 1 more doubt, below 1 less; the order of the classes stays."""
    logits = np.log(np.clip(p, 1e-12, None)) / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def fit_temperature(p: np.ndarray, y: np.ndarray) -> float:
    """T of the smallest mean -ln p(true class), between 0.05 and 20. Source: Guo et al. 2017, arXiv 1706.04599."""
    def loss(log_t: float) -> float:
        return -np.log(np.clip(apply_temperature(p, np.exp(log_t))[np.arange(len(y)), y], 1e-12, None)).mean()

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def reliability(p: np.ndarray, y: np.ndarray, bins: int = 10) -> list[tuple[float, float, int]]:
    """(mean confidence, share right, rows) of each occupied bin of the highest probability."""
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return [(float(confidence[number == b].mean()), float(right[number == b].mean()), int((number == b).sum()))
            for b in range(bins) if (number == b).any()]
