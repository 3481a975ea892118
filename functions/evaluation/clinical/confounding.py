"""What age, sex, site and scanner have to do with a network's scores of test patients."""

from collections.abc import Mapping, Sequence

import numpy as np

from functions.evaluation.auroc import auroc, auroc_interval
from functions.evaluation.clinical.covariates import Covariates
from functions.evaluation.clinical.matching import CALLIPER, PAIR_CALLIPER, age_adjusted, matched
from functions.evaluation.clinical.predictability import CONFOUNDED
from functions.evaluation.clinical.results import Confounding, Interval, Subgroup, TableBaseline
from functions.evaluation.clinical.subgroups import subgroups
from functions.evaluation.comparison import paired
from functions.evaluation.intervals import FEW
from functions.evaluation.patients import has_two_sides, num_patients
from functions.evaluation.predictions import Predictions
from functions.evaluation.scores import sides
from functions.evaluation.stages import healthy_stage

NOTHING = "no scores by age, sex, site and scanner"


def confounding(test: Predictions, traits: Covariates, baselines: Mapping[str, np.ndarray],
                notes: Sequence[str] = ()) -> Confounding:
    """Subgroups, baselines, the age-adjusted AUROC and matched pairs of "diseased or not", over patients.

    `traits` are in the order of the rows of patients. `baselines`: name → class probabilities (slices, K), nan for the
    slices of patients whom the baseline does not know; the network is compared on the others. The first is of the table
    alone: a note asks to check if it predicts disease and the network is not shown to be better. `notes` are added.
    """
    healthy = healthy_stage(test.class_names)
    if healthy is None:
        return Confounding(notes=[*notes, f"{NOTHING}: no class is known to be healthy by its name"])
    if not test.patients_known:
        return Confounding(notes=[*notes, f"{NOTHING}: the patients are unknown"])
    p, labels, ids = test.rows("patient")
    score, diseased = 1 - p[:, healthy], labels != healthy
    if num_patients(ids) < len(ids) or not has_two_sides(diseased, ids):
        why = ("patients have several labels" if num_patients(ids) < len(ids) else
               f"fewer than {FEW} healthy or fewer than {FEW} diseased test patients")
        return Confounding(notes=[*notes, f"{NOTHING}: {why}"])
    found = [*notes, *_unknown(traits)]
    compared = [one for one in (_compared(name, test, q, healthy) for name, q in baselines.items()) if one]
    found += [_suspicion(one) for one in compared if one.name == next(iter(baselines)) and _suspicion(one)]
    adjusted, pairs, like = None, None, 0
    if np.isfinite(traits.age).any():
        adjusted = age_adjusted(score, diseased, traits.age)
        pairs, like = matched(score, diseased, traits)
        counts = f"{diseased.sum()} diseased and {(~diseased).sum()} healthy test patients"
        if adjusted is None:
            found.append(f"no age-adjusted AUROC: too few of {counts} have partners within {CALLIPER:g} years on both "
                         "sides of their age")
        if pairs is None:
            found.append(f"cannot be matched: {like} pair{'s' * (like != 1)} of the same sex within {PAIR_CALLIPER:g} "
                         f"years among {counts}, and at least {FEW} are needed")
    groups = subgroups(score, diseased, traits)
    return Confounding(groups, compared, adjusted, pairs, [*found, *_inseparable(groups)])


def _suspicion(one: TableBaseline) -> str:
    """What to check if a baseline of the table alone predicts disease and the network is not shown to be better."""
    if not one.auroc.low > CONFOUNDED or one.difference.low > 0:
        return ""
    return (f"CHECK: {one.name} alone have an AUROC of {one.auroc.value:.2f} [{one.auroc.low:.2f} to "
            f"{one.auroc.high:.2f}], and the network is not shown to be better: it may have learnt {one.name} instead "
            "of the disease")


def _inseparable(groups: Mapping[str, Sequence[Subgroup]]) -> list[str]:
    """What to check if disease and site, or scanner, go together: of groups of 2 FEW patients or more at least one is
    healthy and one diseased, but for fewer than FEW, and no group is scored.
    """
    found = []
    for trait in ("site", "scanner"):
        inside = groups.get(trait, [])
        sides = {group.healthy > group.diseased for group in inside if group.healthy + group.diseased >= 2 * FEW}
        if len(sides) == 2 and not any(group.auroc for group in inside):
            found.append(f"CHECK: no {trait} has both {FEW} healthy and {FEW} diseased test patients: the network may "
                         f"have learnt the {trait} instead of the disease")
    return found


def _unknown(traits: Covariates) -> list[str]:
    count = len(traits.age)
    missing = {"age": int((~np.isfinite(traits.age)).sum()), **{
        name: sum(value is None for value in getattr(traits, name)) for name in ("sex", "site", "scanner")}}
    return [f"the {name} of {number} of {count} test patients is unknown: they are in no score by {name}"
            for name, number in missing.items() if 0 < number < count]


def _compared(name: str, test: Predictions, q: np.ndarray, healthy: int) -> TableBaseline | None:
    """A baseline beside the network, on the patients whom it knows; None for fewer than FEW of either side."""
    p, labels, ids = test.rows("patient")
    theirs = test.rows("patient", q)[0]
    known = np.isfinite(theirs).all(axis=1)
    p, theirs, labels, ids = p[known], theirs[known], labels[known], ids[known]
    if not known.any() or not has_two_sides(labels != healthy, ids):
        return None
    baseline, network = (_auroc(1 - one[:, healthy], labels != healthy) for one in (theirs, p))
    gap = paired(p, theirs, labels, ids, healthy)["auroc_disease"]
    return TableBaseline(name, int(known.sum()), baseline, network, Interval(gap.value, gap.low, gap.high), gap.p)


def _auroc(score: np.ndarray, diseased: np.ndarray) -> Interval:
    value = auroc(score, diseased)[0]
    return Interval(value, *auroc_interval(value, *sides(diseased)))
