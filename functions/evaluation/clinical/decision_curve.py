"""Decision curve: the net benefit of acting on a probability of disease, against treating all or none."""

import numpy as np

THRESHOLDS = np.arange(1, 100) / 100


def net_benefit(p: np.ndarray, diseased: np.ndarray, threshold: float) -> float:
    """TP / n - FP / n · t / (1 - t), of treating who has p ≥ t; probabilities p (n,), diseased (n,) bool, 0 < t < 1.

    t is the probability from which one would treat: t / (1 - t) is the harm of treating one healthy patient, in units
    of the benefit of treating one diseased patient. Treating none has 0. Source: Vickers and Elkin 2006, Med Decis
    Making 26:565.
    """
    treated = p >= threshold
    return float((treated & diseased).mean() - (treated & ~diseased).mean() * threshold / (1 - threshold))


def decision_curve(p: np.ndarray, diseased: np.ndarray) -> list[list[float]]:
    """(t, net benefit of the probabilities, net benefit of treating all) for each t in THRESHOLDS."""
    everybody = np.ones(len(p))
    return [[float(t), net_benefit(p, diseased, t), net_benefit(everybody, diseased, t)] for t in THRESHOLDS]
