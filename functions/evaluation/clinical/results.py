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
