"""A Gaussian process on the stage of dementia, fitted to the training patients of a fold."""

import warnings

import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.preprocessing import StandardScaler


def stage_probabilities(x: np.ndarray, stages: np.ndarray, new: np.ndarray, num_stages: int) -> np.ndarray:
    """(m, num_stages) of the patients `new` (m, D) by a process fitted to `x` (n, D) and their `stages` 0, 1, ... (n,).

    f ~ GP(0, c exp(-||x - x'||² / (2 l²)) + s δ) on standardised features and stages; c, l and s maximise the marginal
    likelihood, so nothing else is chosen. With the predicted mean m and SD v of a patient's stage, P(stage ≤ k) =
    Φ((k + 1/2 - m) / v).
    """
    scaler = StandardScaler().fit(x)
    width = np.sqrt(x.shape[1])
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(width, (0.1 * width, 100 * width)) + WhiteKernel(1.0, (1e-3, 1e2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)          # a value at a bound: noise alone, or none
        process = GaussianProcessRegressor(kernel, normalize_y=True).fit(scaler.transform(x), stages.astype(float))
    mean, sd = process.predict(scaler.transform(new), return_std=True)
    below = norm.cdf((np.arange(num_stages - 1) + 0.5 - mean[:, None]) / sd[:, None])
    return np.diff(below, axis=1, prepend=0.0, append=1.0)
