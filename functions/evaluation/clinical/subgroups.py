"""Scores of "diseased or not" by sex, age, site and scanner."""

from collections import Counter

import numpy as np

from functions.evaluation.auroc import auroc, auroc_interval
from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.results import Interval, Subgroup
from functions.evaluation.intervals import FEW, wilson

THIRDS = 60              # patients with an age, from which ages are divided into thirds instead of halves
THRESHOLD = 0.5          # of P(diseased), for sensitivity and specificity
SEXES = {"F": "women", "M": "men", "O": "other sex"}


def subgroups(score: np.ndarray, diseased: np.ndarray, traits: Covariates) -> dict[str, list[Subgroup]]:
    """trait → its groups of patients, for P(diseased) (n,) and diseased (n,) bool; without traits of a single value.

    A group with fewer than FEW healthy or diseased patients has counts and no scores. AUROC with Newcombe's interval,
    sensitivity and specificity with Wilson's; the groups are different patients, so their scores are independent.
    """
    found = {"sex": [(SEXES[sex], traits.sex == sex) for sex in SEXES], "age": _age_groups(traits.age)}
    for name, values in (("site", traits.site), ("scanner", traits.scanner)):
        counts = Counter(value for value in values if value is not None)
        found[name] = [(value, values == value) for value in sorted(counts, key=lambda one: (-counts[one], one))]
    result = {}
    for trait, groups in found.items():
        groups = [(name, inside) for name, inside in groups if inside.any()]
        if len(groups) > 1:
            result[trait] = [_scored(name, score[inside], diseased[inside]) for name, inside in groups]
    return result


def _age_groups(age: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(name, members) of halves or thirds by age."""
    known = age[np.isfinite(age)]
    if not len(known):
        return []
    parts = 3 if len(known) >= THIRDS else 2
    cuts = np.unique(np.quantile(known, np.arange(1, parts) / parts))
    place = np.searchsorted(cuts, age)                     # age ≤ cut: before it
    names = [f"up to {cuts[0]:.1f} years", *(f"over {low:.1f}, up to {high:.1f}"
                                              for low, high in zip(cuts, cuts[1:], strict=False)),
             f"over {cuts[-1]:.1f} years"]
    return [(name, np.isfinite(age) & (place == number)) for number, name in enumerate(names)]


def _scored(name: str, score: np.ndarray, diseased: np.ndarray) -> Subgroup:
    ill, well = int(diseased.sum()), int((~diseased).sum())
    if min(ill, well) < FEW:
        return Subgroup(name, well, ill)
    value, called = auroc(score, diseased)[0], score > THRESHOLD
    shares = []
    for hits, count in ((called[diseased].sum(), ill), ((~called[~diseased]).sum(), well)):
        low, high = wilson(hits, count)
        shares.append(Interval(float(hits / count), float(low), float(high)))
    return Subgroup(name, well, ill, Interval(value, *auroc_interval(value, ill, well)), *shares)
