"""The answers to clinical questions as printed lines, tables and notes."""

import numpy as np

from functions.evaluation.clinical.recalibration import FEWEST
from functions.evaluation.clinical.results import Clinical, Interval, OperatingPoint
from functions.evaluation.evaluation import Score
from functions.reports.evaluation_text import number, with_interval
from functions.reports.html_page import Table

SHOWN = (0.1, 0.2, 0.3, 0.5)      # threshold probabilities whose net benefit is listed
HEAD = ("diseased or not, of patients", "value [95 % interval over patients]")


def rows(clinical: Clinical) -> list[tuple[str, str]]:
    """(what, value with its interval) of all answers."""
    found = _of_point(clinical.operating_point) if clinical.operating_point else []
    if precision := clinical.average_precision:
        found.append((f"average precision (without information about {number(clinical.prevalence)})", text(precision)))
    if fitted := clinical.recalibration:
        found += [("calibration slope (1 is right, below: too extreme)", text(fitted.slope)),
                  ("calibration intercept (0 is right, above: disease is underestimated)", text(fitted.in_the_large))]
    shown = [row for row in clinical.net_benefit if np.isclose(row[0], SHOWN).any()]
    return found + [(f"net benefit from a probability of {threshold:.0%} (treating all: {number(every)}, none: 0)",
                     number(value)) for threshold, value, every in shown]


def _of_point(point: OperatingPoint) -> list[tuple[str, str]]:
    at = f"P(diseased) > {number(point.threshold)}"
    found = [(f"sensitivity at {at}", text(point.sensitivity)), (f"specificity at {at}", text(point.specificity))]
    for values in point.predictive:
        found += [(f"{name} at a prevalence of {values.prevalence:.1%}", text(value))
                  for name, value in (("PPV", values.ppv), ("NPV", values.npv))]
    return found


def text(estimate: Interval) -> str:
    """0.812 [0.770 to 0.850]; "not defined" for nan."""
    shown = with_interval(Score(estimate.value, estimate.low, estimate.high))
    return "not defined" if np.isnan(estimate.value) else shown


def lines(clinical: Clinical) -> list[str]:
    """The printed lines."""
    found = rows(clinical)
    width = max((len(what) for what, _ in found), default=0)
    head = [HEAD[0]] if found else []
    return [*head, *(f"  {what:{width}}  {value}" for what, value in found),
            *(f"  ({note})" for note in notes(clinical))]


def tables(clinical: Clinical) -> list[tuple[str, list[Table]]]:
    """(heading, tables) of the page; none without an answer."""
    found = rows(clinical)
    return [("At a threshold, and as a probability", [Table(HEAD, found)])] if found else []


def notes(clinical: Clinical) -> list[str]:
    """What is missing and why, and what the numbers rest on."""
    found = list(clinical.notes)
    if point := clinical.operating_point:
        found.append(f"the threshold gives a specificity of at least {point.aimed:.0%} on the "
                     f"{point.validation_healthy} healthy validation patients; sensitivity and specificity are of test "
                     "patients, and their intervals take the threshold as fixed. PPV and NPV are those of this "
                     "sensitivity and specificity at the prevalence of the test patients, and at that of --prevalence")
    if (fitted := clinical.recalibration) and np.isnan(fitted.slope.low) and np.isnan(fitted.slope.high):
        found.append(f"no interval of calibration slope, intercept and curve: fewer than {FEWEST} patients")
    if clinical.net_benefit:
        found.append("net benefit: true positives minus false positives, weighted by t / (1 - t) at the probability t "
                     "from which one would treat, per patient; of these patients' prevalence, without an interval")
    return found
