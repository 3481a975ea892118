"""The schemas and readers of metrics.json, as written by a run and by an evaluation; null means undefined."""

from dataclasses import dataclass, field
from pathlib import Path

from functions.runtime.errors import UserError
from functions.runtime.json_files import MAX_NAME, check, check_lengths, read_json

SCORE_KEYS = ("value", "low", "high", "constant", "null", "nearest", "p")
RANGES = {"kappa": (-1, 1), "brier": (0, 2)}      # of the other scores: 0 to 1
MAX_COUNT = 10**9
ROUNDING = 1e-9          # by which an end of an interval may lie outside its range


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, and the score of the constant prediction."""

    value: float | None
    low: float | None
    high: float | None
    constant: float | None


@dataclass(frozen=True)
class Scores:
    """The scores over all slices, or over all patients."""

    count: int
    classes: dict[str, int]
    accuracy: Score
    balanced_accuracy: Score
    auroc: Score
    auroc_disease: Score | None = None


@dataclass(frozen=True)
class Units:
    """Scores per slice and per patient."""

    slice: Scores
    patient: Scores


@dataclass(frozen=True)
class RunMetrics:
    """The schema of metrics.json of a finished run."""

    test: Units
    best_epoch: int
    largest: str
    stamps: list[str]
    probe: Units | None = None


@dataclass(frozen=True)
class EvaluatedScore(Score):
    """A score of evaluate.py with the permutation mean and p-value, the nearest neighbour's score, and the verdict."""

    nearest: float | None = None
    null: float | None = None
    p: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class CountedClass:
    """A class and its number of test patients (slices, if the patients are unknown)."""

    name: str = field(metadata={"key": "class"})
    people: int


@dataclass(frozen=True)
class EvaluatedScores:
    """The scores of one unit; which scores exist depends on the classes."""

    scores: dict[str, EvaluatedScore]
    classes: list[CountedClass]
    count: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """The part of evaluate.py's metrics.json that the tools need."""

    slice: EvaluatedScores
    largest: str
    stamps: list[str]
    commit: str | None
    nearest_neighbour: dict[str, dict] = field(metadata={"key": "nearest neighbour"})
    patient: EvaluatedScores | None = None


def read_run_metrics(path: Path) -> dict:
    """A run's metrics.json; raises UserError, naming file and key, if it is invalid."""
    content = read_json(path)
    check(RunMetrics, content, path)
    check_lengths(content, {"stamps": MAX_NAME}, path)
    _check_ranges(content, path)
    return content


def _check_ranges(content: dict, path: Path, key: str = "") -> None:
    """Raises UserError for a negative count, a score outside its range, or an interval with low above high."""
    least, most = RANGES.get(key.rpartition(".")[2], (0, 1))
    for name, value in content.items():
        place = f"{key}.{name}" if key else name
        if isinstance(value, dict):
            _check_ranges(value, path, place)
        elif name == "count" and isinstance(value, (int, float)) and not 0 <= value <= MAX_COUNT:
            raise UserError(f'{path} is damaged: "{place}" is {value:.3g}, not a number of slices or patients')
        elif name in SCORE_KEYS and isinstance(value, (int, float)) and not (
                least - ROUNDING <= value <= most + ROUNDING):
            raise UserError(f'{path} is damaged: "{place}" is {value:.3g}, not between {least} and {most}')
    low, high = content.get("low"), content.get("high")
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high + ROUNDING:
        raise UserError(f'{path} is damaged: "{key}" has an interval from {low:.3g} down to {high:.3g}')


def read_evaluation(path: Path, again: str) -> dict:
    """An evaluation's metrics.json; raises UserError if it is invalid; `again` is the command that recreates it."""
    content = read_json(path)
    if {"slice", "stamps", "nearest neighbour"} - set(content):
        raise UserError(f"{path} is of an older version: {again}")
    check(Evaluation, content, path)
    check_lengths(content, {"stamps": MAX_NAME}, path)
    _check_ranges({unit: content.get(unit) or {} for unit in ("slice", "patient")}, path)
    if content["slice"]["scores"].get("accuracy", {}).get("value") is None:       # accuracy is always defined
        raise UserError(f'{path} is damaged: "slice.scores.accuracy" is missing or has no value')
    return content
