"""The evaluation of a network on test slices as one dataclass, and metrics.json, which holds it.

Written at the end of training and by evaluate.py alike. Undefined numbers are nan, in JSON null.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from functions.evaluation.clinical.results import Clinical, Confounding, impossible_entries
from functions.runtime.errors import UserError, text_fault
from functions.runtime.json_files import MAX_NAME, build, check, check_lengths, read_json

VERSION = 2                                       # of metrics.json; files of version 1 have no "version"
RANGES = {"kappa": (-1, 1), "brier": (0, 2)}      # of the other scores: 0 to 1
MAIN = ("accuracy", "balanced_accuracy", "auroc")           # of each aggregation
OF_CLASS = ("sensitivity", "specificity", "precision", "auroc")
MAX_COUNT, ROUNDING = 10**9, 1e-9          # ROUNDING: by which an end of an interval may lie outside its range
UNKNOWN = "PATIENTS UNKNOWN"                      # the caveat of data_setup.splits.warnings


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, its reference values and, for the primary score, p-value and verdict.

    `constant`: of always predicting the largest training class; `null`: mean over permutations of the patients' labels;
    `nearest`: of the nearest image of training or validation; `p`: see `permutation.p_value`.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    constant: float = np.nan
    null: float = np.nan
    nearest: float = np.nan
    p: float = np.nan
    verdict: str = ""


@dataclass(frozen=True)
class ClassScores:
    """A class: its numbers of patients and rows (patients or slices), and its one-vs-rest scores, if it is scored."""

    name: str
    patients: int
    rows: int
    sensitivity: Score | None = None
    specificity: Score | None = None
    precision: Score | None = None          # without an interval; None in files of earlier versions
    auroc: Score | None = None


@dataclass(frozen=True)
class UnitScores:
    """All scores over patients, or over slices."""

    count: int
    scores: dict[str, Score]
    classes: list[ClassScores]


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling fitted on validation slices: ECE and reliability curve of test slices before and after."""

    temperature: float
    ece_before: float
    ece_after: float
    before: list[list[float]]
    after: list[list[float]]


@dataclass(frozen=True)
class Difference:
    """A score minus that of another network on the same patients, with its 95 % interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float = np.nan


@dataclass(frozen=True)
class Evaluation:
    """The scores of one set of predictions. `patient` is None if any patient is unknown, `order` if it is unknown.

    `nearest_neighbour` holds the scores of the nearest image, "as split" and among "other patients", by unit;
    `slices_per_patient` the medians of healthy and of diseased patients, `predicted` the number of slices that are
    predicted as each class. `against` is the difference to `rival`. `clinical`, `confounding`: of evaluate.py alone.
    """

    class_names: list[str]
    largest: str
    primary: str
    slice: UnitScores
    patient: UnitScores | None = None
    order: list[str] | None = None
    permutations: int = 0
    aggregation: dict[str, dict[str, Score]] = field(default_factory=dict)
    calibration: Calibration | None = None
    against: dict[str, Difference] = field(default_factory=dict)
    rival: str = ""
    nearest_neighbour: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    slices_per_patient: list[float] = field(default_factory=list)
    predicted: dict[str, int] = field(default_factory=dict)
    clinical: Clinical | None = None
    confounding: Confounding | None = None

    @property
    def units(self) -> dict[str, UnitScores]:
        """The scores by unit: patients (if known), then slices."""
        return ({"patient": self.patient} if self.patient else {}) | {"slice": self.slice}

    def in_stage_order(self, names: Iterable[str]) -> list[int]:
        """The positions of class `names` from the mildest to the most severe stage; as in `class_names` if unknown."""
        rank, names = {name: k for k, name in enumerate(self.order or self.class_names)}, list(names)
        return sorted(range(len(names)), key=lambda k: rank.get(names[k], len(rank)))

    def scores_of(self, unit: str) -> dict[str, Score]:
        """The scores over patients or slices; none if the patients are unknown."""
        return self.units[unit].scores if unit in self.units else {}

    @property
    def first(self) -> UnitScores:
        """The scores over patients, or over slices if the patients are unknown."""
        return self.patient or self.slice


@dataclass(frozen=True)
class Metrics:
    """The schema of metrics.json, which holds its `asdict`: the evaluation on test, caveats, and what was evaluated.

    `best_epoch` and `probe` (the closed-form probe on the frozen features) are of a run, whose commit is in run.json;
    `checkpoint`, `data` (the slices of --data; None: the run's own test set), `run_id` (of the run that wrote the
    checkpoint) and `commit` are of an evaluation by evaluate.py.
    """

    test: Evaluation
    caveats: list[str]
    version: int = VERSION
    best_epoch: int | None = None
    probe: Evaluation | None = None
    checkpoint: str | None = None
    data: str | None = None
    run_id: str = ""
    commit: str | None = None


def read_metrics(path: Path, again: str = "") -> Metrics:
    """metrics.json of a run or an evaluation; raises UserError, naming file and key, if it is invalid.

    A run's file of version 1 has no p-values and no scores per class; an evaluation's is refused, naming the command
    `again` that makes it again.
    """
    content = read_json(path)
    if content.get("version", 1) == 1:
        content = _from_version_1(content, path, again)
    if content["version"] != VERSION:
        raise UserError(f"{path} is of version {content['version']!r:.60}, not {VERSION}: it was written by a newer "
                        "version of this project, or is damaged")
    check(Metrics, content, path)
    check_lengths(content, {"caveats": MAX_NAME}, path)
    metrics = build(Metrics, content)
    for key, evaluation in (("test", metrics.test), ("probe", metrics.probe)):
        if evaluation:
            _check_evaluation(evaluation, path, key)
    if metrics.best_epoch is not None and metrics.best_epoch < 1:
        raise UserError(f'{path} is damaged: "best_epoch" is {metrics.best_epoch}: epochs are counted from 1')
    return metrics


def _check_evaluation(evaluation: Evaluation, path: Path, key: str) -> None:
    """Raises UserError for an impossible name, count or score, or without the accuracy, which is always defined."""
    for name in (evaluation.largest, *evaluation.class_names, *(row.name for row in evaluation.slice.classes)):
        if fault := text_fault(name, MAX_NAME):
            raise UserError(f'{path} is damaged: a class name in "{key}" {fault}')
    _check_entries(evaluation, path, key)
    for unit, scored in evaluation.units.items():
        for name, count in (("count", scored.count), *((f"classes.{one.name}.{what}", getattr(one, what))
                                                       for one in scored.classes for what in ("patients", "rows"))):
            if not 0 <= count <= MAX_COUNT:
                raise UserError(f'{path} is damaged: "{key}.{unit}.{name}" is {count:.3g}, not a number of slices or '
                                "patients")
        for name, score in scored.scores.items():
            _check_score(score, RANGES.get(name, (0, 1)), f"{key}.{unit}.scores.{name}", path)
        for one in scored.classes:
            for name in OF_CLASS:
                if score := getattr(one, name):
                    _check_score(score, (0, 1), f"{key}.{unit}.classes.{one.name}.{name}", path)
    for method, scores in evaluation.aggregation.items():
        for name in MAIN:
            if name not in scores:
                raise UserError(f'{path} is damaged: "{key}.aggregation.{method[:60]}.{name}" is missing')
            _check_score(scores[name], (0, 1), f"{key}.aggregation.{method[:60]}.{name}", path)
    if "accuracy" not in evaluation.slice.scores or np.isnan(evaluation.slice.scores["accuracy"].value):
        raise UserError(f'{path} is damaged: "{key}.slice.scores.accuracy" is missing or has no value')
    if evaluation.patient and evaluation.primary not in evaluation.patient.scores:
        raise UserError(f'{path} is damaged: "{key}.primary" is {evaluation.primary[:60]!r}, not one of the scores')


def _check_entries(evaluation: Evaluation, path: Path, key: str) -> None:
    """Raises UserError for an impossible entry beside the scores of patients and slices."""
    names, gaps, fitted = evaluation.class_names, evaluation.against.values(), evaluation.calibration
    nearest = [value for units in evaluation.nearest_neighbour.values() for unit in units.values()
               for name, value in unit.items() if name not in RANGES]
    wrong = {
        "class_names": not names or len(set(names)) < len(names),
        "largest": evaluation.largest not in names,
        "order": evaluation.order is not None and sorted(evaluation.order) != sorted(names),
        "predicted": not set(evaluation.predicted) <= set(names) or min(evaluation.predicted.values(), default=0) < 0,
        "permutations": not 0 <= evaluation.permutations <= MAX_COUNT,
        "rival": text_fault(evaluation.rival, MAX_NAME),
        "slice.count": evaluation.slice.count < 1,
        "patient.count": evaluation.patient is not None and evaluation.patient.count < 1,
        "against": any(not (abs(gap.value) <= 2 or np.isnan(gap.value)) or gap.low > gap.high for gap in gaps),
        "nearest_neighbour": any(not (0 <= value <= 1 or np.isnan(value)) for value in nearest),
        "calibration": fitted is not None and not (
            fitted.temperature > 0 and 0 <= fitted.ece_before <= 1 and 0 <= fitted.ece_after <= 1
            and all(len(point) == 3 for point in (*fitted.before, *fitted.after))),
    }
    wrong |= dict.fromkeys(impossible_entries(evaluation.clinical, evaluation.confounding), True)
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise UserError(f'{path} is damaged: "{key}.{found[0]}" holds an impossible value')


def _check_score(score: Score, limits: tuple[float, float], key: str, path: Path) -> None:
    least, most = limits
    for name in ("value", "low", "high", "constant", "null", "nearest"):
        value = getattr(score, name)
        if not (np.isnan(value) or least - ROUNDING <= value <= most + ROUNDING):
            raise UserError(f'{path} is damaged: "{key}.{name}" is {value:.3g}, not between {least} and {most}')
    if not (np.isnan(score.p) or 0 <= score.p <= 1):
        raise UserError(f'{path} is damaged: "{key}.p" is {score.p:.3g}, not between 0 and 1')
    if score.low > score.high + ROUNDING:
        raise UserError(f'{path} is damaged: "{key}" has an interval from {score.low:.3g} down to {score.high:.3g}')


@dataclass(frozen=True)
class _ScoreV1:
    value: float
    low: float
    high: float
    constant: float


@dataclass(frozen=True)
class _ScoresV1:
    count: int
    classes: dict[str, int]
    accuracy: _ScoreV1
    balanced_accuracy: _ScoreV1
    auroc: _ScoreV1
    auroc_disease: _ScoreV1 | None = None


@dataclass(frozen=True)
class _UnitsV1:
    slice: _ScoresV1
    patient: _ScoresV1


@dataclass(frozen=True)
class _MetricsV1:
    """metrics.json of a finished run, up to version 1."""

    test: _UnitsV1
    best_epoch: int
    largest: str
    stamps: list[str]
    probe: _UnitsV1 | None = None


def _from_version_1(content: dict, path: Path, again: str) -> dict:
    """A run's metrics.json of version 1 as one of version 2."""
    if "test" not in content and "slice" in content:
        raise UserError(f"{path} is of an older version" + (f": {again}" if again else ""))
    check(_MetricsV1, content, path)

    def evaluation(old: dict) -> dict:
        units, patients = {}, old["patient"]["classes"]
        for unit in ("slice",) if UNKNOWN in content["stamps"] else ("slice", "patient"):
            scores = {name: old[unit][name] for name in _ScoresV1.__dataclass_fields__
                      if name not in ("count", "classes") and old[unit].get(name)}
            classes = [{"name": name, "patients": patients.get(name, 0), "rows": rows}
                       for name, rows in old[unit]["classes"].items()]
            units[unit] = {"count": old[unit]["count"], "scores": scores, "classes": classes}
        names = dict.fromkeys([*old["slice"]["classes"], content["largest"]])
        return units | {"class_names": list(names), "largest": content["largest"],
                        "primary": "auroc_disease" if old["patient"].get("auroc_disease") else "auroc"}

    return {"version": VERSION, "test": evaluation(content["test"]), "caveats": content["stamps"],
            "probe": evaluation(content["probe"]) if content.get("probe") else None,
            "best_epoch": content["best_epoch"], "commit": content.get("commit")}
