"""The answers to clinical questions as dataclasses, as in metrics.json: fractions, undefined numbers nan."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval over patients."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class PredictiveValues:
    """PPV = P(diseased | positive) and NPV = P(healthy | negative) in a population of this prevalence of disease."""

    prevalence: float
    ppv: Interval
    npv: Interval


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that validation patients fixed, and what it does on test patients.

    A patient is positive if P(diseased) > `threshold`, which gives at least `aimed` specificity on the
    `validation_healthy` healthy validation patients.
    """

    aimed: float
    threshold: float
    validation_healthy: int
    sensitivity: Interval
    specificity: Interval
    predictive: list[PredictiveValues]


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration: `slope` b and intercept of logit P(y = 1) = a + b logit(p); `in_the_large`: a for b = 1.

    `curve`: (p, recalibrated probability, low, high); `groups`: (mean p, share of diseased, low, high, patients).
    """

    slope: Interval
    in_the_large: Interval
    curve: list[list[float]]
    groups: list[list[float]]


@dataclass(frozen=True)
class Clinical:
    """The answers for "diseased or not" of test patients; `notes` say why one is missing.

    `prevalence` is the share of diseased test patients; `net_benefit` holds (threshold probability, net benefit of the
    network, of treating all).
    """

    prevalence: float = np.nan
    operating_point: OperatingPoint | None = None
    average_precision: Interval | None = None
    recalibration: Recalibration | None = None
    net_benefit: list[list[float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Subgroup:
    """Test patients with one value of a trait, such as women: counts, and scores of "diseased or not", if scored.

    Sensitivity and specificity are at P(diseased) > 0.5.
    """

    name: str
    healthy: int
    diseased: int
    auroc: Interval | None = None
    sensitivity: Interval | None = None
    specificity: Interval | None = None


@dataclass(frozen=True)
class TableBaseline:
    """A baseline from the table, such as age and sex: its AUROC, the network's, and network - baseline, on `patients`.
    """

    name: str
    patients: int
    auroc: Interval
    network: Interval
    difference: Interval
    p: float = np.nan


@dataclass(frozen=True)
class AgeAdjusted:
    """The AUROC among patients of like age beside that of the same network, and of age alone, over all with an age.

    `healthy` of `all_healthy` and `diseased` of `all_diseased` patients are compared, within ±`calliper` years.
    """

    auroc: Interval
    crude: Interval
    age_alone: Interval
    calliper: float
    healthy: int
    diseased: int
    all_healthy: int
    all_diseased: int


@dataclass(frozen=True)
class Matched:
    """Pairs of a diseased and a healthy patient: the share in which the diseased one has the higher score.

    `age_alone` is this share if the older one is called diseased, `older` the mean age difference, diseased - healthy.
    """

    pairs: int
    auroc: Interval
    age_alone: float
    older: float
    calliper: float
    same_sex: bool


@dataclass(frozen=True)
class Confounding:
    """What age, sex, site and scanner have to do with the scores of test patients; `notes` say what is missing."""

    subgroups: dict[str, list[Subgroup]] = field(default_factory=dict)
    baselines: list[TableBaseline] = field(default_factory=list)
    adjusted: AgeAdjusted | None = None
    matched: Matched | None = None
    notes: list[str] = field(default_factory=list)


def impossible_entries(clinical: Clinical | None, found: Confounding | None) -> list[str]:
    """The first entry of each that holds an impossible value, such as clinical.prevalence."""
    wrong = {"clinical": impossible(clinical) if clinical else None,
             "confounding": impossible_confounding(found) if found else None}
    return [f"{part}.{name}" for part, name in wrong.items() if name]


def impossible_confounding(found: Confounding) -> str | None:
    """The name of the first entry that holds an impossible value; None if all are possible."""
    shares = [(f"subgroups.{trait}", score) for trait, groups in found.subgroups.items() for group in groups
              for score in (group.auroc, group.sensitivity, group.specificity) if score]
    shares += [("baselines", share) for one in found.baselines for share in (one.auroc, one.network)]
    counts = [("subgroups", count) for groups in found.subgroups.values() for group in groups
              for count in (group.healthy, group.diseased)] + [("baselines", one.patients) for one in found.baselines]
    if adjusted := found.adjusted:
        shares += [("adjusted", share) for share in (adjusted.auroc, adjusted.crude, adjusted.age_alone)]
        counts += [("adjusted", count) for count in (adjusted.healthy, adjusted.diseased,
                                                     adjusted.all_healthy - adjusted.healthy,
                                                     adjusted.all_diseased - adjusted.diseased)]
    if matched := found.matched:
        shares += [("matched", matched.auroc), ("matched", Interval(matched.age_alone))]
        counts.append(("matched", matched.pairs))
    gaps = [("baselines", _is_ordered(one.difference) and not abs(one.difference.value) > 1
             and (np.isnan(one.p) or 0 <= one.p <= 1)) for one in found.baselines]
    checks = [*((name, _is_ordered(share) and all(map(_is_share, _ends(share)))) for name, share in shares),
              *((name, count >= 0) for name, count in counts), *gaps]
    return next((name for name, possible in checks if not possible), None)


def impossible(clinical: Clinical) -> str | None:
    """The name of the first entry that holds an impossible value; None if all are possible."""
    return next((name for name, possible in _entries(clinical) if not possible), None)


def _entries(clinical: Clinical) -> Iterator[tuple[str, bool]]:
    """(name, whether its value is possible)."""
    yield "prevalence", _is_share(clinical.prevalence)
    if point := clinical.operating_point:
        yield "operating_point.aimed", _is_share(point.aimed)
        yield "operating_point.validation_healthy", point.validation_healthy >= 0
        shares = [("sensitivity", point.sensitivity), ("specificity", point.specificity)]
        for values in point.predictive:
            yield "operating_point.predictive", _is_share(values.prevalence)
            shares += [("predictive.ppv", values.ppv), ("predictive.npv", values.npv)]
        yield from ((f"operating_point.{name}", _is_ordered(share) and all(map(_is_share, _ends(share))))
                    for name, share in shares)
    if precision := clinical.average_precision:
        yield "average_precision", _is_ordered(precision) and all(map(_is_share, _ends(precision)))
    if fitted := clinical.recalibration:
        yield "recalibration.slope", _is_ordered(fitted.slope)
        yield "recalibration.in_the_large", _is_ordered(fitted.in_the_large)
        for name, rows, size in (("curve", fitted.curve, 4), ("groups", fitted.groups, 5)):
            yield f"recalibration.{name}", all(len(row) == size and all(map(_is_share, row[:4])) for row in rows)
    yield "net_benefit", all(len(row) == 3 and 0 < row[0] < 1 and max(row[1:]) <= 1 for row in clinical.net_benefit)


def _ends(estimate: Interval) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _is_share(value: float) -> bool:
    return bool(np.isnan(value) or -1e-9 <= value <= 1 + 1e-9)


def _is_ordered(estimate: Interval) -> bool:
    return not estimate.low > estimate.high + 1e-9
