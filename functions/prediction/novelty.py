"""Out-of-distribution detection: the Mahalanobis distance of an image's features to those of the training slices."""

from dataclasses import dataclass

import numpy as np

SHRINKAGE = 0.01             # share of the mean variance that is added to every variance
FALSE_ALARMS = 0.05          # share of validation slices above the threshold


@dataclass(frozen=True)
class Novelty:
    """d(f) = √((f - μ)ᵀ Σ⁻¹ (f - μ)) with mean μ (F,) and shrunk covariance Σ (F, F) of the training features.

    An image is out of distribution if d exceeds `threshold`; None if there are no validation slices.
    Source: Lee et al. 2018, arXiv 1807.03888, with one Gaussian for all classes.
    """

    mean: np.ndarray
    precision: np.ndarray              # Σ⁻¹
    threshold: float | None

    def ratios(self, features: np.ndarray) -> np.ndarray | None:
        """d over the threshold for each row of features (n, F): above 1 is out of distribution; None without one."""
        return None if self.threshold is None else self.distances(features) / max(self.threshold, 1e-12)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """d of each row of features (n, F): (n,)."""
        centred = features.astype(float) - self.mean
        return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", centred, self.precision, centred), 0))


def fit_novelty(train: np.ndarray, val: np.ndarray) -> Novelty:
    """The distance fitted to training features (n, F), its threshold to validation features (m, F).

    The threshold is the ⌈(m + 1)(1 - FALSE_ALARMS)⌉-th smallest of the m distances, at most the largest: of new slices
    like those of validation, at most about FALSE_ALARMS exceed it.
    """
    mean = train.astype(float).mean(axis=0)
    covariance = np.atleast_2d(np.cov(train.astype(float).T, bias=True))
    covariance += (SHRINKAGE * np.trace(covariance) / len(covariance) + 1e-12) * np.eye(len(covariance))
    fitted = Novelty(mean, np.linalg.inv(covariance), None)
    if not len(val):
        return fitted
    ranked = np.sort(fitted.distances(val))
    place = min(int(np.ceil((len(ranked) + 1) * (1 - FALSE_ALARMS))), len(ranked))
    return Novelty(mean, fitted.precision, float(ranked[place - 1]))
