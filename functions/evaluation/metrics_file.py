"""metrics.json as a run and an evaluation write it: its schema, and reading it. null: not measurable."""

from dataclasses import dataclass, field
from pathlib import Path

from functions.runtime.errors import UserError
from functions.runtime.json_files import check, read_json

SCORE_KEYS = ("value", "low", "high", "constant", "null", "nearest", "p")
RANGES = {"kappa": (-1, 1), "brier": (0, 2)}      # of the other scores: 0 to 1
MAX_COUNT = 10**9


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, and what the constant answer scores."""

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
    """metrics.json of a finished run."""

    test: Units
    best_epoch: int
    largest: str
    stamps: list[str]
    probe: Units | None = None


@dataclass(frozen=True)
class EvaluatedScore(Score):
    """A score of evaluate.py, beside the permutations' mean and p, the nearest picture's score, and the verdict."""

    nearest: float | None = None
    null: float | None = None
    p: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class CountedClass:
    """A class and how many patients of it were tested (slices, where the patients are unknown)."""

    name: str = field(metadata={"key": "class"})
    people: int


@dataclass(frozen=True)
class EvaluatedScores:
    """The scores of one unit; which there are depends on the classes."""

    scores: dict[str, EvaluatedScore]
    classes: list[CountedClass]
    count: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """What tools need of the metrics.json that evaluate.py wrote."""

    slice: EvaluatedScores
    largest: str
    stamps: list[str]
    commit: str | None
    nearest_neighbour: dict[str, dict] = field(metadata={"key": "nearest neighbour"})
    patient: EvaluatedScores | None = None


def read_run_metrics(path: Path) -> dict:
    """A run's metrics.json, checked; UserError, naming file and key."""
    content = read_json(path)
    check(RunMetrics, content, path)
    _check_ranges(content, path)
    return content


def _check_ranges(content: dict, path: Path, key: str = "") -> None:
    """UserError for a count below 0, a score outside its range, or an interval whose low end is above its high end."""
    least, most = RANGES.get(key.rpartition(".")[2], (0, 1))
    for name, value in content.items():
        place = f"{key}.{name}" if key else name
        if isinstance(value, dict):
            _check_ranges(value, path, place)
        elif name == "count" and value is not None and not 0 <= value <= MAX_COUNT:
            raise UserError(f'{path} is damaged: "{place}" is {value:.3g}, not a number of slices or patients')
        elif name in SCORE_KEYS and isinstance(value, (int, float)) and not least <= value <= most:
            raise UserError(f'{path} is damaged: "{place}" is {value:.3g}, not between {least} and {most}')
    low, high = content.get("low"), content.get("high")
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low > high:
        raise UserError(f'{path} is damaged: "{key}" has an interval from {low:.3g} down to {high:.3g}')


def read_evaluation(path: Path, again: str) -> dict:
    """An evaluation's metrics.json, checked; UserError, naming file and key; `again` is the command that makes it."""
    content = read_json(path)
    if {"slice", "stamps", "nearest neighbour"} - set(content):
        raise UserError(f"{path} is of an older version: {again}")
    check(Evaluation, content, path)
    _check_ranges({unit: content.get(unit) or {} for unit in ("slice", "patient")}, path)
    if content["slice"]["scores"].get("accuracy", {}).get("value") is None:       # every slice has an answer
        raise UserError(f'{path} is damaged: "slice.scores.accuracy" is missing or has no value')
    return content
