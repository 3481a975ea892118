"""95 % confidence intervals over patients, for the audit and the evaluation. Imports no other module of the project.

The interval of each score of evaluate.py was chosen by its coverage in simulated cohorts of 10 to 120 patients (python
-m benchmarks coverage; docs/RESULTS.md). A score without an interval here has none with sufficient coverage.
`bootstrap_interval`, of the leakage effect alone, is not among them.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

FEW = 5                   # classes with fewer patients have counts only and are excluded from means over classes
FEWEST = 20               # with fewer patients, accuracies have no interval: Wilson is too wide (covers up to 99.3 %)
ENOUGH = 30               # with fewer patients, mean AUROCs and shares of slices have no interval: low coverage
ENOUGH_BRIER = 40         # with fewer patients, Brier scores have no interval
LEVEL = 0.95              # confidence level of all intervals
RESAMPLES = 2000          # of patients or of their labels; the ends then have a standard error of 1.5 % of the width


def bootstrap_interval(draws: np.ndarray, patients: int, strata: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), the 95 % interval of a score from its bootstrap `draws` (R, ...); nan if undefined.

    Percentiles α and 1 - α with α = Φ(-√(n / (n - K)) t₀.₉₇₅(n - K)) for n `patients` resampled within K `strata`:
    2.5 % for many patients, 1.6 % for 32 in three classes, since resampling few patients underestimates the spread.
    Non-finite draws are omitted. Source: Hesterberg 2015, arXiv 1411.5279, "expanded".
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


def wilson(hits: ArrayLike, counts: ArrayLike, z: float = norm.ppf((1 + LEVEL) / 2)) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), Wilson's score interval of proportions `hits` / `counts`; nan for count 0. Source: Wilson 1927.

    Rounding never puts the proportion outside: for 0 of n the lower end is 0, for n of n the upper end is 1.
    """
    hits, counts = np.asarray(hits, dtype=float), np.asarray(counts, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / counts
        half = z * np.sqrt(share * (1 - share) / counts + (z / counts) ** 2 / 4)
        centre, scale = share + z**2 / counts / 2, 1 + z**2 / counts
        return np.clip((centre - half) / scale, 0.0, share), np.clip((centre + half) / scale, share, 1.0)


def share_of_clusters(right: np.ndarray, subjects: np.ndarray) -> tuple[float, float]:
    """(low, high) of the share of correct rows, right (n,), clustered by patient; nan for fewer than FEWEST patients.

    Wilson's interval with the effective sample size share (1 - share) / V, where V is the jackknife variance over
    patients. It is at least Kish's k = (Σ size)² / Σ size² and at most the number of rows; with one row per patient it
    equals their number. The quantile is that of t with k - 1 degrees of freedom. nan if patients have several rows and
    k is below ENOUGH, because V is too uncertain. After Korn and Graubard 1998, Surv Methodol 24:193.
    """
    sizes, hits = _of_patients(right, subjects)
    patients, rows, share = len(sizes), sizes.sum(), hits.sum() / sizes.sum()
    fewest = rows**2 / np.square(sizes).sum()
    if patients < FEWEST or (patients < rows and fewest < ENOUGH - 1e-9):
        return np.nan, np.nan
    without = (hits.sum() - hits) / (rows - sizes)
    variance = (patients - 1) / patients * np.square(without - share).sum()
    effective = float(np.clip(share * (1 - share) / variance, fewest, rows)) if variance > 0 else float(fewest)
    low, high = wilson(share * effective, effective, t.ppf((1 + LEVEL) / 2, fewest - 1))
    return float(low), float(high)


def mean_of_clusters(values: np.ndarray, subjects: np.ndarray) -> tuple[float, float]:
    """(low, high) of the mean of values (n,), clustered by patient: t with patients - 1 degrees of freedom.

    nan for fewer than two patients, or without variance.
    """
    sizes, totals = _of_patients(values, subjects)
    patients, mean = len(sizes), totals.sum() / sizes.sum()
    variance = np.square(totals - mean * sizes).sum() / sizes.sum() ** 2
    if patients < 2 or not variance > 0:
        return np.nan, np.nan
    half = t.ppf((1 + LEVEL) / 2, patients - 1) * np.sqrt(patients / (patients - 1) * variance)
    return float(mean - half), float(mean + half)


def mean_of_positives(values: np.ndarray) -> tuple[float, float]:
    """(low, high) of the mean of skewed values ≥ 0 of independent patients, such as Brier scores.

    t interval of ln(mean), with the relative standard error of the mean (delta method); nan without variance.
    """
    mean, (low, high) = values.mean(), mean_of_clusters(values, np.arange(len(values)))
    ratio = np.exp((high - low) / 2 / mean) if mean > 0 else np.nan
    return float(mean / ratio), float(mean * ratio)


def _of_patients(values: np.ndarray, subjects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of rows of each patient and the sum of their values."""
    _, subject = np.unique(subjects, return_inverse=True)
    return np.bincount(subject), np.bincount(subject, values)


def mean_of_proportions(hits: ArrayLike, counts: ArrayLike) -> tuple[float, float]:
    """(low, high) of the mean of K independent proportions, such as balanced accuracy; nan for fewer than two.

    MOVER: mean ± √Σ (p_k - end_k)² / K with the ends of Wilson intervals, which use t with Σ counts - K degrees of
    freedom instead of z. Source: Zou and Donner 2008, Stat Med 27:1693.
    """
    hits, counts = np.asarray(hits, dtype=float), np.asarray(counts, dtype=float)
    spare = counts.sum() - len(counts)
    if len(counts) < 2 or counts.min() < 1 or spare < 1:
        return np.nan, np.nan
    shares = hits / counts
    lows, highs = wilson(hits, counts, t.ppf((1 + LEVEL) / 2, spare))
    return mover_interval(shares, lows, highs, np.eye(len(shares)))


def mover_interval(values: np.ndarray, lows: np.ndarray, highs: np.ndarray,
                   correlation: np.ndarray) -> tuple[float, float]:
    """(low, high) of the mean of K estimates from their intervals and their correlation (K, K), by MOVER."""
    ends = []
    for sign, side in ((-1, values - lows), (1, highs - values)):
        ends.append(float(values.mean() + sign * np.sqrt(max(0.0, side @ correlation @ side)) / len(values)))
    return max(0.0, ends[0]), min(1.0, ends[1])
