"""Diseased and healthy patients of like age compared: the age-adjusted AUROC, and matched pairs."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from functions.evaluation.auroc import auroc, auroc_interval, weighted_auroc_interval
from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.results import AgeAdjusted, Interval, Matched
from functions.evaluation.intervals import FEW, wilson

CALLIPER = 5.0           # years within which patients are of like age; fixed in advance
PAIR_CALLIPER = 2.0      # years between the patients of a matched pair, at most


def age_weights(age: np.ndarray, diseased: np.ndarray, calliper: float = CALLIPER) -> np.ndarray:
    """The weights ω (diseased, healthy) of pairs in the age-adjusted AUROC, of sum 1; 0 where there is no like pair.

    A diseased patient of age z is compared with the healthy ones from z - calliper to z + calliper. Those younger and
    those older have the same total weight, so that the score of age alone, or any that rises with it, gets 0.5 exactly;
    of equal age their share. A diseased patient without healthy ones on both sides, or of equal age, is left out.
    """
    gap = age[~diseased][None, :] - age[diseased][:, None]
    near, same = np.abs(gap) <= calliper, gap == 0
    younger, older = near & (gap < 0), near & (gap > 0)
    counts = [part.sum(axis=1, keepdims=True) for part in (younger, same, older)]
    both = (counts[0] > 0) & (counts[2] > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(both, counts[1] / sum(counts), (counts[1] > 0) * 1.0)
        weights = same * np.nan_to_num(share / counts[1], posinf=0.0)
        for part, count in ((younger, counts[0]), (older, counts[2])):
            weights = weights + part * np.where(both, (1 - share) / 2 / count, 0.0)
    used = weights.sum() or 1.0
    return weights / used


def in_order(score: np.ndarray, diseased: np.ndarray) -> np.ndarray:
    """ψ (diseased, healthy): 1 where the diseased patient has the higher score, ½ for equal ones."""
    one, other = score[diseased][:, None], score[~diseased][None, :]
    return (one > other) + 0.5 * (one == other)


def age_adjusted(score: np.ndarray, diseased: np.ndarray, age: np.ndarray,
                 calliper: float = CALLIPER) -> AgeAdjusted | None:
    """The covariate-adjusted AUROC of a score (n,) for diseased (n,) bool and age (n,); nan ages are left out.

    AAUC = (1 / n_D) Σ_i F(s_i | z_i) over diseased patients i, F(· | z) being the distribution of scores of healthy
    patients of age z, that is, the mean placement value; here F is the weighted share of healthy patients of like age
    that score lower (`age_weights`). The question: is a diseased patient ranked above healthy ones of the same age?
    The interval is `weighted_auroc_interval`. None if fewer than FEW patients of either kind, counted by Kish's
    effective number (Σ weight)² / Σ weight², have a partner. Source: Janes and Pepe 2009, Biometrika 96:371.
    """
    known = np.isfinite(age)
    score, diseased, age = score[known], diseased[known], age[known]
    weights = age_weights(age, diseased, calliper)
    of_diseased, of_healthy = weights.sum(axis=1), weights.sum(axis=0)
    if min(_effective(of_diseased), _effective(of_healthy)) < FEW - 1e-9:
        return None
    value = float((weights * in_order(score, diseased)).sum())
    ends = weighted_auroc_interval(value, weights)
    return AgeAdjusted(Interval(value, *ends), _crude(score, diseased), _crude(age, diseased), calliper,
                       int((of_healthy > 0).sum()), int((of_diseased > 0).sum()), len(of_healthy), len(of_diseased))


def _crude(score: np.ndarray, diseased: np.ndarray) -> Interval:
    value = auroc(score, diseased)[0]
    return Interval(value, *auroc_interval(value, int(diseased.sum()), int((~diseased).sum())))


def _effective(weights: np.ndarray) -> float:
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def match(diseased: np.ndarray, traits: Covariates, calliper: float = PAIR_CALLIPER) -> list[tuple[int, int]]:
    """Pairs (diseased, healthy) of rows: as many as possible, then with the smallest total age difference.

    A pair is of one sex, unless no sex is known, and at most `calliper` years apart; each patient is in one pair.
    """
    cases, controls = np.flatnonzero(diseased), np.flatnonzero(~diseased)
    gap = np.abs(traits.age[cases][:, None] - traits.age[controls][None, :])
    allowed = gap <= calliper                                                       # False for unknown ages
    if any(sex is not None for sex in traits.sex):
        known = np.array([sex is not None for sex in traits.sex])
        allowed &= (traits.sex[cases][:, None] == traits.sex[controls][None, :]) & known[cases][:, None]
    if not allowed.any():
        return []
    cost = np.where(allowed, np.nan_to_num(gap), (calliper + 1) * (len(diseased) + 1))
    return [(int(cases[i]), int(controls[j])) for i, j in zip(*linear_sum_assignment(cost), strict=True)
            if allowed[i, j]]


def matched(score: np.ndarray, diseased: np.ndarray, traits: Covariates,
            calliper: float = PAIR_CALLIPER) -> tuple[Matched | None, int]:
    """(share of matched pairs in which the diseased patient has the higher score, its interval; number of pairs).

    Ties count half. Pairs are independent, so the interval is Wilson's; it is too wide for fewer than 20 pairs. None
    for fewer than FEW pairs.
    """
    pairs = match(diseased, traits, calliper)
    if len(pairs) < FEW:
        return None, len(pairs)
    cases, controls = np.array(pairs).T
    hits = [(value[cases] > value[controls]) + 0.5 * (value[cases] == value[controls]) for value in (score, traits.age)]
    low, high = wilson(hits[0].sum(), len(pairs))
    older = float((traits.age[cases] - traits.age[controls]).mean())
    return Matched(len(pairs), Interval(float(hits[0].mean()), float(low), float(high)), float(hits[1].mean()), older,
                   calliper, any(sex is not None for sex in traits.sex)), len(pairs)
