"""The number of patients that a study needs, by simulating studies with the project's own AUROC statistics.

Scores are normal: N(d, 1) in diseased, N(0, 1) in healthy patients, with AUROC Φ(d / √2). A study of n patients has
round(n · prevalence) diseased ones, at least 2 of each kind. Seeds are fixed: the same question has the same answer.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from functions.evaluation.auroc import Estimate, auroc, auroc_interval, difference
from functions.runtime.errors import UserError

STUDIES = 400              # simulated for each number of patients
FEWEST, MOST = 10, 5_120
STEP = 0.02                # of the number of patients, to which it is found
SIGNIFICANT = 0.05


class Sample(NamedTuple):
    """A number of patients, of them diseased, the share of studies that succeed, and their mean half-width or gap."""

    patients: int
    diseased: int
    share: float
    mean: float


def study_of_width(auroc_value: float, half_width: float, prevalence: float, patients: int, seed: int = 0) -> Sample:
    """The share of studies whose interval of the AUROC (`auroc_interval`) has at most this half-width; its mean."""
    positive, scores = _scores(patients, prevalence, np.array([auroc_value]), 0.0, seed)
    sizes = int(positive.sum()), int((~positive).sum())
    widths = np.empty(STUDIES)
    for study, (score,) in enumerate(scores):
        low, high = auroc_interval(auroc(score, positive)[0], *sizes)
        widths[study] = (high - low) / 2
    return Sample(patients, sizes[0], float((widths <= half_width).mean()), float(widths.mean()))


def study_of_difference(auroc_value: float, gap: float, correlation: float, prevalence: float, patients: int,
                        seed: int = 0) -> Sample:
    """The share of studies that find p < SIGNIFICANT (`difference`) for AUROCs `auroc_value` + `gap` and `auroc_value`.

    Both networks score the same patients; `correlation` is that of their scores among patients of one kind. The mean is
    that of the observed differences.
    """
    values = np.array([auroc_value + gap, auroc_value])
    positive, scores = _scores(patients, prevalence, values, correlation, seed)
    found, gaps = np.empty(STUDIES), np.empty(STUDIES)
    for study, pair in enumerate(scores):
        first, second = (Estimate(value, np.nan, np.nan, influence)
                         for value, influence in (auroc(score, positive) for score in pair))
        found[study] = difference(first, second)[2] < SIGNIFICANT         # nan, not defined, is not found
        gaps[study] = first.value - second.value
    return Sample(patients, int(positive.sum()), float(found.mean()), float(gaps.mean()))


def fewest_patients(study: Callable[[int], Sample], wanted: float) -> list[Sample]:
    """Studies by number of patients, ending with the smallest that succeeds in a share `wanted`, found by bisection.

    The number is exact to STEP of it. Raises UserError if MOST patients are not enough.
    """
    tried, patients = [], FEWEST
    while (found := study(patients)).share < wanted:
        tried.append(found)
        patients *= 2
        if patients > MOST:
            raise UserError(f"more than {tried[-1].patients:,} patients: ask for less")
    enough = found
    least = tried[-1].patients if tried else enough.patients
    while enough.patients - least > max(1, STEP * enough.patients):
        found = study((enough.patients + least) // 2)
        if found.share < wanted:
            tried.append(found)
            least = found.patients
        else:
            enough = found
    return [*tried, enough]


def _scores(patients: int, prevalence: float, values: np.ndarray, correlation: float,
            seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(positive (n,), scores (STUDIES, networks, n)) of networks with these AUROCs."""
    diseased = int(np.clip(round(patients * prevalence), 2, patients - 2))
    positive = np.arange(patients) < diseased
    generator = np.random.default_rng([seed, patients])
    noise = generator.standard_normal((STUDIES, len(values), patients))
    if len(values) == 2:
        noise[:, 1] = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
    shift = np.sqrt(2) * norm.ppf(values)
    return positive, noise + shift[:, None] * positive
