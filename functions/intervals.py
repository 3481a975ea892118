"""Bootstrap intervals over patients. Imports nothing of ours: the audit and the evaluation share this one function."""

import numpy as np
from scipy.stats import norm, t

LEVEL = 0.95              # of every interval this project prints
RESAMPLES = 2000          # of patients: from seed to seed the ends then move by 1.5 % of the width (standard error)


def bootstrap_interval(draws: np.ndarray, patients: int, strata: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), the 95 % interval of a score from its bootstrap `draws` (R, ...); nan where none can be given.

    Percentiles α and 1 - α with α = Φ(-√(n / (n - K)) t₀.₉₇₅(n - K)) for n `patients` resampled within K `strata`:
    2.5 % for many patients, 1.6 % for 32 in three classes, since resampling few people understates their spread. Draws
    that are not finite are left out. Source: Hesterberg 2015, arXiv 1411.5279, "expanded".
    """
    draws = np.asarray(draws, dtype=float)
    spare = patients - strata
    if not len(draws) or spare < 1:
        missing = np.full(draws.shape[1:], np.nan)
        return missing, missing.copy()
    alpha = norm.cdf(-np.sqrt(patients / spare) * t.ppf((1 + LEVEL) / 2, spare))
    known = np.where(np.isfinite(draws), draws, np.nan)
    nowhere = np.isnan(known).all(axis=0)
    low, high = np.nanquantile(np.where(nowhere, 0.0, known), [alpha, 1 - alpha], axis=0)
    return np.where(nowhere, np.nan, low), np.where(nowhere, np.nan, high)
