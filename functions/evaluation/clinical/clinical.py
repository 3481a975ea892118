"""The answers to clinical questions of one set of test predictions, with a note for each that cannot be given."""

from functions.evaluation.clinical.decision_curve import decision_curve
from functions.evaluation.clinical.operating_point import SPECIFICITY, least_healthy, operating_point
from functions.evaluation.clinical.precision_recall import average_precision
from functions.evaluation.clinical.recalibration import recalibration
from functions.evaluation.clinical.results import Clinical
from functions.evaluation.intervals import ENOUGH, FEW
from functions.evaluation.patients import has_two_sides, num_patients
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import healthy_stage

NOTHING = "no sensitivity at a fixed specificity, precision-recall, calibration or decision curve"


def clinical(test: Predictions, val: Predictions | None, prevalence: float | None = None) -> Clinical:
    """Threshold, predictive values, average precision, calibration and net benefit of "diseased or not", over patients.

    P(diseased) = 1 - P(healthy class), the mean over the patient's slices. Predictive values are given for the share of
    diseased test patients and for a stated `prevalence`.
    """
    healthy = healthy_stage(test.class_names)
    if healthy is None:
        return Clinical(notes=[f"{NOTHING}: no class is known to be healthy by its name (such as normal, healthy, "
                               "control or no stenosis)"])
    if not test.patients_known:
        return Clinical(notes=[f"{NOTHING}: the patients are unknown"])
    p, labels, ids = test.rows("patient")
    score, diseased = 1 - p[:, healthy], labels != healthy
    if num_patients(ids) < len(ids) or not has_two_sides(diseased, ids):
        why = ("patients have several labels" if num_patients(ids) < len(ids) else
               f"fewer than {FEW} healthy or fewer than {FEW} diseased test patients")
        return Clinical(float(diseased.mean()), notes=[f"{NOTHING}: {why}"])
    own, notes, point, fitted = float(diseased.mean()), [], None, None
    if why := _why_no_threshold(val, healthy):
        notes.append(f"no sensitivity at a fixed specificity, no PPV and no NPV: {why}")
    else:
        val_p, val_labels, _ = val.rows("patient")
        point = operating_point(score, diseased, 1 - val_p[:, healthy], val_labels != healthy,
                                [own] if prevalence is None else [own, prevalence])
    if len(score) < ENOUGH:
        notes.append(f"no calibration curve: fewer than {ENOUGH} test patients")
    elif (fitted := recalibration(score, diseased)) is None:
        notes.append("no calibration curve: the probability of disease separates these patients without error, or does "
                     "not vary")
    return Clinical(own, point, average_precision(score, diseased), fitted, decision_curve(score, diseased), notes)


def _why_no_threshold(val: Predictions | None, healthy: int) -> str:
    """Why no threshold can be fixed on validation patients; "" if it can."""
    if val is None:
        return "there are no validation patients to fix the threshold on"
    if not val.patients_known:
        return "the validation patients are unknown"
    _, labels, ids = val.rows("patient")
    count, needed = int((labels == healthy).sum()), least_healthy(SPECIFICITY)
    if count < needed:
        return (f"{count} healthy validation patients, and a specificity of {SPECIFICITY:.0%} needs at least {needed} "
                "(tools/cross_validate.py or a larger validation share)")
    return ""
