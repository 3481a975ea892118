"""Computes the evaluation of predictions: scores, intervals, p-value and verdict, references, calibration."""

from collections.abc import Sequence

import numpy as np

from functions.evaluation.auroc import auroc, auroc_interval
from functions.evaluation.calibration import apply_temperature, fit_temperature, reliability
from functions.evaluation.comparison import paired
from functions.evaluation.evaluation import MAIN, Calibration, ClassScores, Evaluation, Score, UnitScores
from functions.evaluation.intervals import FEWEST, RESAMPLES, wilson
from functions.evaluation.patients import aggregated, by_patient, has_two_sides, num_patients, scored_classes
from functions.evaluation.permutation import can_move, p_value, permuted
from functions.evaluation.predictions import Predictions
from functions.evaluation.scores import points, primary_score, score_intervals, sides, slice_intervals
from functions.evaluation.stages import are_of_dementia, healthy_stage

# An interval of the AUROC of demented-or-not above this value is implausible: it is the highest value known to us on
# unseen patients, for the easiest case, Alzheimer's disease against controls (Bron et al. 2021, NeuroImage Clin
# 31:102712). For classes of other diseases there is no such value.
TOO_GOOD_AUROC = 0.94
TOO_GOOD_PATIENTS = 70     # about: an AUROC of 1 can have such an interval from 67 patients on (103 of sides 1:4)
CONSTANT = "constant"      # the name of the baseline that always predicts the largest training class
SIGNIFICANT = 0.05         # p below which permutations count as beaten: Fisher's convention
SEEN_SUFFIX, TOO_GOOD = "on patients it was trained on", "too good: check the split"
NO_VERDICT = "no verdict: the interval or the p-value is not defined for these patients"


def evaluate(predictions: Predictions, largest: str, order: Sequence[int] | None, *, val: Predictions | None = None,
             other: np.ndarray | None = None, rival: str = "", nearest: Sequence[np.ndarray] | None = None,
             seen: bool = False, permutations: int = RESAMPLES) -> Evaluation:
    """All scores of test predictions; `largest` is the largest training class, `order` ranks the classes by stage.

    Without an `order` there is no kappa; if any patient is unknown, no patient scores, intervals, p-value or verdict.
    `val`: validation predictions, for the temperature; `other`: another network's probabilities (n, K) on the same
    slices, and `rival` its name (CONSTANT: always `largest`); `nearest`: the classes (n,) of the nearest images, as
    split and of other patients only; `seen`: the network was trained on some of these patients; `permutations`: number
    of label permutations, 0 for no p-value and verdict.
    """
    names, p, y = predictions.class_names, predictions.probabilities, predictions.labels
    healthy, constant = healthy_stage(names), names.index(largest)
    stages, known = list(order or range(len(names))), predictions.patients_known
    votes = dict(zip(("as split", "other patients"), (np.eye(len(names))[classes] for classes in nearest or ()),
                     strict=False))
    neighbour: dict[str, dict[str, dict[str, float]]] = {condition: {} for condition in votes}
    units, against = {}, {}
    for unit in ("patient", "slice") if known else ("slice",):
        q, labels, ids = predictions.rows(unit)
        classes = scored_classes(labels, ids)
        for condition, vote in votes.items():
            neighbour[condition][unit] = _ordered(order, points(
                predictions.rows(unit, vote)[0], labels, stages, healthy, classes, ids))
        if unit == "patient":
            scores = evaluate_patients(q, labels, ids, stages, constant, healthy, permutations, seen=seen,
                                       comparable=are_of_dementia(names))
            against = {} if other is None else paired(
                q, predictions.rows(unit, other)[0], labels, ids, healthy, rival == CONSTANT)
        else:
            scores = evaluate_slices(q, labels, ids, stages, constant, healthy, known)
        near = neighbour.get("as split", {}).get(unit, {})
        units[unit] = UnitScores(num_patients(ids) if unit == "patient" else len(labels), {
            name: Score(**score, nearest=near.get(name, np.nan)) for name, score in _ordered(order, scores).items()},
            by_class(q, labels, ids, names, unit == "patient"))
    return Evaluation(
        names, largest, primary_score(healthy), units["slice"], units.get("patient"),
        order=[names[k] for k in order] if order else None,
        permutations=permutations, aggregation=_aggregation(p, y, predictions.subjects, healthy) if known else {},
        calibration=_calibration(predictions, val) if val else None, against=against, rival=rival,
        nearest_neighbour=neighbour,
        slices_per_patient=_slices_per_patient(predictions, healthy) if known else [],
        predicted=dict(zip(names, np.bincount(p.argmax(axis=1), minlength=len(names)).tolist(), strict=True)))


def _ordered(order: Sequence[int] | None, scores: dict) -> dict:
    """The scores without kappa if the order of the classes is unknown."""
    return scores if order else {name: score for name, score in scores.items() if name != "kappa"}


def _aggregation(p: np.ndarray, y: np.ndarray, subjects: np.ndarray,
                 healthy: int | None) -> dict[str, dict[str, Score]]:
    """The main scores of each aggregation of slices to patients."""
    _, labels, ids = by_patient(p, y, subjects)
    classes, made = scored_classes(labels, ids), {}
    for method, q in aggregated(p, y, subjects).items():
        value = points(q, labels, range(p.shape[1]), healthy, classes, ids)
        ends = score_intervals(q, labels, ids, healthy, classes)
        made[method] = {name: Score(value[name], *ends.get(name, ())) for name in MAIN}
    return made


def _calibration(test: Predictions, val: Predictions) -> Calibration:
    temperature, stages = fit_temperature(val.probabilities, val.labels), range(len(test.class_names))
    p, y = test.probabilities, test.labels
    q = apply_temperature(p, temperature)
    return Calibration(temperature, points(p, y, stages)["ece"], points(q, y, stages)["ece"],
                       [list(point) for point in reliability(p, y)], [list(point) for point in reliability(q, y)])


def _slices_per_patient(predictions: Predictions, healthy: int | None) -> list[float]:
    """The median numbers of slices of healthy and of diseased patients; empty unless there are both."""
    if healthy is None:
        return []
    medians = []
    for side in (predictions.labels == healthy, predictions.labels != healthy):
        counts = np.unique(predictions.subjects[side], return_counts=True)[1]
        medians += [float(np.median(counts))] if len(counts) else []
    return medians if len(medians) == 2 else []


def evaluate_patients(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                      healthy: int | None = None, resamples: int = RESAMPLES, seed: int = 0,
                      seen: bool = False, comparable: bool = True) -> dict[str, dict]:
    """name → value, 95 % interval (low, high), score of the constant prediction, mean over label permutations.

    Rows are patients. The primary score also has a verdict and a p-value: the share of permutations of the patients'
    labels, including the identity, that score at least as well (minimum 1 / (resamples + 1)); neither without
    `resamples`. `seen`: the network was trained on these patients. `comparable`: the classes are those for which
    TOO_GOOD_AUROC is known.
    """
    classes = scored_classes(y, subjects)
    result = _with_constant(p, y, subjects, order, largest, healthy, score_intervals(p, y, subjects, healthy, classes))
    if not resamples:
        return result
    null = permuted(p, y, subjects, order, healthy, classes, resamples, seed)
    for name, draws in null.items():
        result[name]["null"] = float(draws.mean())
    primary, name = result[primary_score(healthy)], primary_score(healthy)
    asked = y if healthy is None else y != healthy
    primary["p"] = p_value(primary["value"], null[name]) if can_move(asked, subjects) else np.nan
    primary["verdict"] = verdict(primary["value"], primary["low"], primary["constant"], primary["p"],
                                 comparable and healthy is not None, seen)
    return result


def evaluate_slices(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                    healthy: int | None = None, known: bool = True) -> dict[str, dict]:
    """name → value, low, high and score of the constant prediction, over slices; no p-value and no verdict.

    Means are over the classes with at least FEW patients, as for patients. Without `known` patients there is no
    interval.
    """
    ends = slice_intervals(p, y, subjects) if known else {}
    return _with_constant(p, y, subjects, order, largest, healthy, ends)


def _with_constant(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, order: Sequence[int], largest: int,
                   healthy: int | None, ends: dict[str, tuple[float, float]]) -> dict[str, dict]:
    """name → value, low, high, and the score of always predicting the class `largest`."""
    classes = scored_classes(y, subjects)
    always = np.eye(p.shape[1])[np.full(len(y), largest)]
    value, constant = (points(q, y, order, healthy, classes, subjects) for q in (p, always))
    result = {}
    for name in value:
        low, high = ends.get(name, (np.nan, np.nan))
        result[name] = {"value": value[name], "low": low, "high": high, "constant": constant[name]}
    return result


def verdict(value: float, low: float, constant: float, p: float, disease: bool, seen: bool = False) -> str:
    """The verdict on a score against the constant prediction.

    Better: p < SIGNIFICANT and the whole interval above `constant`. Too good: the interval is above TOO_GOOD_AUROC
    (only with `disease`, the AUROC of demented-or-not).
    """
    if not np.isfinite(value):
        return "not scored"
    if not (np.isfinite(low) and np.isfinite(p)):
        return NO_VERDICT
    if not (p < SIGNIFICANT and low > constant):
        return "not shown to be better"
    if disease and low > TOO_GOOD_AUROC:
        return TOO_GOOD
    return f"better, {SEEN_SUFFIX}" if seen else "better"


def by_class(p: np.ndarray, y: np.ndarray, subjects: np.ndarray, class_names: Sequence[str],
             patients: bool = True) -> list[ClassScores]:
    """Sensitivity, specificity, precision and AUROC of each class; the others than precision with their intervals.

    For slices (not `patients`) values only. Precision is the share of the class among the rows predicted as it, nan
    without any. A class has counts only if it, or the rest, has fewer than FEW patients. There are no intervals for
    fewer than FEWEST patients in total, or if patients have several labels.
    """
    found, called, given = [], p.argmax(axis=1), patients and FEWEST <= num_patients(subjects) == len(y)
    for k, name in enumerate(class_names):
        of, scores = y == k, {}
        if has_two_sides(of, subjects):
            area = auroc(p[:, k], of)[0]
            hits, passed = (called[of] == k).sum(), (called[~of] != k).sum()
            positive = (called == k).sum()
            made: dict[str, tuple] = {"sensitivity": (hits / of.sum(), *wilson(hits, of.sum())),
                                      "specificity": (passed / (~of).sum(), *wilson(passed, (~of).sum())),
                                      "precision": (hits / positive if positive else np.nan, np.nan, np.nan),
                                      "auroc": (area, *auroc_interval(area, *sides(of)))}
            scores = {what: Score(float(value), float(low) if given else np.nan, float(high) if given else np.nan)
                      for what, (value, low, high) in made.items()}
        found.append(ClassScores(name, num_patients(subjects[of]), int(of.sum()), **scores))
    return found
