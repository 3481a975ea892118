"""The text of an evaluation: printed lines, and the texts and tables of its HTML page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from functions.evaluation.evaluate import SIGNIFICANT, TOO_GOOD, TOO_GOOD_AUROC, TOO_GOOD_PATIENTS
from functions.evaluation.evaluation import MAIN, OF_CLASS, ClassScores, Evaluation, Score, UnitScores
from functions.evaluation.intervals import FEW
from functions.evaluation.scores import SCORE_NAMES
from functions.evaluation.stages import are_of_dementia, stage_order
from functions.reports.html_page import Picture, Table

ONE_CLASS = 0.95     # share of slices predicted as one class, from which the answer says so
UNLIKE = 2.0         # ratio of median numbers of slices, from which patients of the two sides are not exchangeable
SUMMARY = (*MAIN, "auroc_disease")      # scores printed at the end of training
PRIMARY = {"auroc": "mean AUROC over classes", "auroc_disease": "AUROC of diseased or not"}
CLASS_SCORES = {"sensitivity": "sensitivity (recall)", "specificity": "specificity", "precision": "precision (PPV)",
                "auroc": "AUROC"}
COUNTS_ONLY = f"counts only: fewer than {FEW} patients in this class or in the others"


def number(value: float) -> str:
    """Three decimals; - if undefined."""
    return f"{round(value, 3) + 0.0:.3f}" if np.isfinite(value) else "-"        # + 0.0: no -0.000


def with_interval(score: Score) -> str:
    """0.812 [0.770 to 0.850]; an interval without width is not shown."""
    if not np.isfinite(score.value):
        return "not scored"
    return number(score.value) + (f" [{number(score.low)} to {number(score.high)}]" if score.high > score.low else "")


def ordered_classes(evaluation: Evaluation, scored: UnitScores) -> list[ClassScores]:
    """The classes from the mildest to the most severe stage, or as in `class_names` if their order is unknown."""
    return [scored.classes[k] for k in evaluation.in_stage_order(row.name for row in scored.classes)]


def in_stage_order(names: Iterable[str]) -> list[str]:
    """Class names from the mildest to the most severe known stage, or as given if they are not known stages."""
    names = list(names)
    return [names[k] for k in stage_order(names) or range(len(names))]


def score_lines(evaluation: Evaluation) -> list[str]:
    """The main scores in lines, per patient (if known) and per slice, with those of the constant prediction."""
    units, always = evaluation.units, f"always {evaluation.largest}"
    wide = max(len(always), 6) + 2
    lines = [f"{'':26}" + "".join(f"{f'per {unit}':>26}{always:>{wide}}" for unit in units)]
    for name in (name for name in SUMMARY if name in evaluation.slice.scores):
        cells = "".join(f"{with_interval(scored.scores[name]):>26}{number(scored.scores[name].constant):>{wide}}"
                        for scored in units.values())
        lines.append(f"{SCORE_NAMES[name]:26}{cells}")
    return lines


def summary_lines(evaluation: Evaluation) -> list[str]:
    """The verdict, the main scores, sensitivity and precision of the classes, the test patients per class and the
    classes with too few of them.
    """
    known = evaluation.patient is not None
    kind = ("[95 % intervals] over patients, of this network on this split" if known
            else "patients unknown: no intervals")
    lines = [headline(evaluation), *score_lines(evaluation), *_class_lines(evaluation),
             f"{_counts(evaluation)}; {kind}"]
    if few := _few(evaluation):
        lines.append(f"fewer than {FEW} {_unit(evaluation)}, not scored and excluded from means: {few}")
    return lines


def _class_lines(evaluation: Evaluation) -> list[str]:
    """Sensitivity and precision of each class that is scored, per patient (if known) or per slice."""
    rows = [(row.name, _of_class(row)) for row in ordered_classes(evaluation, evaluation.first) if row.auroc]
    shown = [CLASS_SCORES[name] for name in ("sensitivity", "precision")]
    head = [f"{f'class, per {_unit(evaluation)[:-1]}':26}" + "".join(f"{name:>26}" for name in shown)] if rows else []
    return head + [f"{name:26}" + "".join(f"{cells[score]:>26}" for score in shown) for name, cells in rows]


def _counts(evaluation: Evaluation) -> str:
    """The test patients (or slices) per class."""
    return f"test {_unit(evaluation)}: " + ", ".join(
        f"{row.name} {row.patients:,}" for row in ordered_classes(evaluation, evaluation.first) if row.patients)


def _few(evaluation: Evaluation) -> str:
    """The classes that are not scored, with their counts."""
    return ", ".join(f"{row.name} {row.patients}" for row in ordered_classes(evaluation, evaluation.first)
                     if 0 < row.patients < FEW)


def lines(evaluation: Evaluation, caveats: Sequence[str], checkpoint: str) -> list[str]:
    """The printed lines of evaluate.py, the verdict on the primary score first."""
    out = [f"{checkpoint}: {', '.join(caveats)}" if caveats else checkpoint, headline(evaluation)]
    for unit, scored in evaluation.units.items():
        head = f"per {unit}, n = {scored.count:,}"
        out.append(f"{head:34}{'value [95 % interval]':25}{'always':>7}{'permuted':>10}{'nearest':>9}")
        for name, score in scored.scores.items():
            out.append(f"  {SCORE_NAMES[name]:32}{with_interval(score):25}{number(score.constant):>7}"
                       f"{number(score.null):>10}{number(score.nearest):>9}")
    out += [f"  ({note})" for note in notes(evaluation)]
    for row in ordered_classes(evaluation, evaluation.first):
        shown = ", ".join(f"{name} {cell}" for name, cell in _of_class(row).items()) if row.auroc else COUNTS_ONLY
        out.append(f"  {row.name:22}{row.patients:4} {_unit(evaluation)}  {shown}")
    if nearest := evaluation.nearest_neighbour:
        split, others = (nearest[condition]["slice"]["accuracy"] for condition in ("as split", "other patients"))
        out.append(f"  nearest pixel neighbour, slice accuracy: {split:.3f} as split, {others:.3f} without slices of "
                   "the same patient")
    if calibration := evaluation.calibration:
        out.append(f"  temperature {calibration.temperature:.2f}, fitted on validation: ECE of slices "
                   f"{calibration.ece_before:.3f} → {calibration.ece_after:.3f}")
    for method, scores in evaluation.aggregation.items():
        out.append(f"  patients by {method}: balanced accuracy {with_interval(scores['balanced_accuracy'])}, "
                   f"AUROC {with_interval(scores['auroc'])}")
    return out + [f"  minus {evaluation.rival}, per patient, {name}: {value}" for name, value in _paired(evaluation)]


def _of_class(row: ClassScores) -> dict[str, str]:
    """The one-vs-rest scores of a class as text; "-" for the precision in a file of an earlier version."""
    found = {CLASS_SCORES[name]: with_interval(score) if (score := getattr(row, name)) else "counts only"
             for name in OF_CLASS}
    if row.auroc and (row.precision is None or np.isnan(row.precision.value)):
        found[CLASS_SCORES["precision"]] = "never predicted" if row.precision else "-"
    return found


def headline(evaluation: Evaluation) -> str:
    """The primary patient score with its interval, verdict and p-value, in one sentence."""
    return ", ".join(filter(None, answer(evaluation)))


def answer(evaluation: Evaluation) -> tuple[str, str]:
    """(the primary patient score with its interval, the verdict with its p-value); "" where there is no verdict."""
    if evaluation.patient is None:
        return "no verdict: the patients are unknown", ""
    score, name = evaluation.patient.scores[evaluation.primary], PRIMARY.get(evaluation.primary, evaluation.primary)
    if not np.isfinite(score.value):
        return f"{name}: not scored, fewer than two groups with at least {FEW} patients", ""
    result = f"{evaluation.patient.count:,} patients: {name} {with_interval(score)}"
    if not score.verdict or score.verdict.startswith("no verdict"):         # "": none in a file of version 1
        return result, score.verdict
    constant = f"always predicting {evaluation.largest}"
    worse = "not distinguishable from chance" if score.p >= SIGNIFICANT else "the interval includes chance"
    if score.high < score.constant:                         # p is one-sided
        worse = "worse than chance, below the whole interval"
    plain = {"better": f"better than {constant}",
             "not shown to be better": f"{worse}: not shown to be better than {constant}"}
    verdict = score.verdict.split(",")[0]
    return result, (f"{score.verdict.replace(verdict, plain.get(verdict, verdict), 1)} (p = {score.p:.2g})"
                    f"{_one_class(evaluation)}")


def _one_class(evaluation: Evaluation) -> str:
    """A warning if nearly all slices are predicted as one class: the AUROC ranks probabilities and does not show it."""
    name, count = max(evaluation.predicted.items(), key=lambda item: item[1], default=("", 0))
    share = count / evaluation.slice.count
    return f"; {name} is predicted for {share:.0%} of slices" if share >= ONE_CLASS else ""


def _unit(evaluation: Evaluation) -> str:
    return "patients" if evaluation.patient else "slices"


def notes(evaluation: Evaluation) -> list[str]:
    """Notes on the table of scores: its columns, the intervals, and the rule behind p-value and verdict."""
    found = [f"always: always predicting {evaluation.largest}; permuted: mean over permutations of the patients' "
             "labels; nearest: the class of the nearest image in training or validation"]
    if evaluation.patient is None:
        found.append("the patients are unknown: no interval, no p-value and no verdict, because slices of one patient "
                     "are not independent")
    else:
        found += _patient_notes(evaluation, evaluation.patient.scores[evaluation.primary])
    if any(row.precision for row in evaluation.first.classes):
        found.append(f"precision (PPV) of a class: its share of the {_unit(evaluation)} predicted as it, with the test "
                     "set's shares of the classes; without an interval")
    if any(row.auroc is None for row in evaluation.first.classes) and _has_class_scores(evaluation.first):
        found.append(COUNTS_ONLY)
    if few := _few(evaluation):
        found.append(f"not scored, fewer than {FEW} {_unit(evaluation)}, and excluded from means over classes: {few}")
    return found


def _patient_notes(evaluation: Evaluation, primary: Score) -> list[str]:
    """What intervals, p-value and verdict mean, and where they are not valid."""
    smallest = 1 / (evaluation.permutations + 1)
    found = ["intervals are 95 % confidence intervals of this trained network's score in the patient population. They "
             "do not include the variation between splits and seeds. Coverage was simulated for 20 to 120 patients "
             "(AUROC of diseased or not from 10), three classes, one simulated network; scores without an interval "
             "have no method with enough coverage, or too few patients"]
    if evaluation.permutations:
        found.append("p: the share of permutations of the patients' labels that score at least as well, one-sided; its "
                     f"minimum is 1/{evaluation.permutations + 1} = {smallest:.2g}. Better: p below {SIGNIFICANT} and "
                     f"the whole interval above always predicting {evaluation.largest}; p between 0.025 and 0.05 is "
                     f"rarely sufficient. Only {SCORE_NAMES[evaluation.primary]} has a verdict, to avoid multiple "
                     "testing")
    if evaluation.primary == "auroc_disease" and are_of_dementia(evaluation.class_names):
        found.append(f'"{TOO_GOOD}" requires about {TOO_GOOD_PATIENTS} patients, more if few are diseased or few '
                     "healthy: with fewer not even an AUROC of 1 has an interval that begins above "
                     f"{TOO_GOOD_AUROC}; absence of this verdict does not exclude leakage")
    medians = evaluation.slices_per_patient
    if medians and max(medians) >= UNLIKE * min(medians):
        found.append(f"the median number of slices is {medians[0]:g} of healthy, {medians[1]:g} of diseased patients: "
                     "if it depends on the class, neither the p-value nor the interval is valid")
    if primary.verdict == TOO_GOOD:
        found.append(f"too good: the interval begins above {TOO_GOOD_AUROC}, the highest value known to us for "
                     "Alzheimer's disease against controls, cross-validated in ADNI (Bron et al. 2021)")
    return found


def _paired(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(score, difference with its interval) for each defined difference; the primary score's also with p."""
    rows = []
    for name, gap in evaluation.against.items():
        if np.isfinite(gap.value):
            interval = f" [{gap.low:+.3f} to {gap.high:+.3f}]" if gap.high > gap.low else ""
            p_value = f", p = {gap.p:.2g}" if name == evaluation.primary and np.isfinite(gap.p) else ""
            rows.append((SCORE_NAMES[name], f"{gap.value:+.3f}{interval}{p_value}"))
    return rows


@dataclass(frozen=True)
class EvaluationContent:
    """What a page shows of an evaluation: the answer, its main figures, (heading, tables), notes, and further parts.

    `checks` are the notes that belong beside the answer, such as a confounder that may explain it. `errors` is the
    heading of the thumbnails of the worst errors, "" without them.
    """

    result: str
    verdict: str
    counts: str
    figures: list[Picture]
    tables: list[tuple[str, list[Table]]]
    notes: list[str]
    more_figures: list[Picture] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    errors: str = ""
    worst: list[Picture] = field(default_factory=list)


def evaluation_content(evaluation: Evaluation, figures: list[Picture], **more) -> EvaluationContent:
    """The texts and tables of an evaluation beside its figures; `more` are the further parts."""
    return EvaluationContent(*answer(evaluation), _counts(evaluation), figures, _tables(evaluation), notes(evaluation),
                             **more)


def _tables(evaluation: Evaluation) -> list[tuple[str, list[Table]]]:
    """(heading, tables): for each unit the scores and those of the classes, aggregation, difference to another run."""
    made = [(f"Scores per {unit}", [_score_table(evaluation, unit, scored), _class_table(evaluation, unit, scored)])
            for unit, scored in evaluation.units.items()]
    if evaluation.against:
        made.append((f"Difference to {evaluation.rival or 'the other run'}, on the same patients", [
            Table(["score", "difference [95 % interval over patients]"], _paired(evaluation))]))
    if evaluation.aggregation:
        rows = [[method, *(with_interval(score) for score in scores.values())]
                for method, scores in evaluation.aggregation.items()]
        made.append(("Aggregation of slices to patients", [
            Table(["method", "accuracy", "balanced accuracy", "AUROC"], rows)]))
    return made


def _score_table(evaluation: Evaluation, unit: str, scored: UnitScores) -> Table:
    """The scores beside their reference values, without references that no score has."""
    references = {"constant": f"always {evaluation.largest}", "null": "permuted labels", "nearest": "nearest image"}
    given = [name for name in references if any(np.isfinite(getattr(s, name)) for s in scored.scores.values())]
    head = [f"{scored.count:,} {unit}s", "value [95 % interval over patients]", *(references[name] for name in given)]
    return Table(head, [[SCORE_NAMES.get(name, name), with_interval(score),
                         *(number(getattr(score, reference)) for reference in given)]
                        for name, score in scored.scores.items()])


def _class_table(evaluation: Evaluation, unit: str, scored: UnitScores) -> Table:
    """The classes in stage order: numbers of patients and slices, and one-vs-rest scores (none in version 1)."""
    kinds = {"patients": "patients"} if unit == "patient" else (
        {"patients": "patients", "slices": "rows"} if evaluation.patient else {"slices": "rows"})
    names = (*list(CLASS_SCORES.values())[:-1], "AUROC, one-vs-rest") if _has_class_scores(scored) else ()
    rows = [[row.name, *(f"{getattr(row, kind):,}" for kind in kinds.values()),
             *list(_of_class(row).values())[:len(names)]] for row in ordered_classes(evaluation, scored)]
    return Table(["class", *kinds, *names], rows, f"Classes, per {unit}")


def _has_class_scores(scored: UnitScores) -> bool:
    return any(row.auroc for row in scored.classes)
