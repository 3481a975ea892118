"""metrics.json as a run and an evaluation write it: its schema, and reading it. null: not measurable."""

from dataclasses import dataclass, field
from pathlib import Path

from functions.errors import UserError
from functions.intervals import RESAMPLES
from functions.json_files import check, read_json


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
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class EvaluatedScore(Score):
    """A score of evaluate.py, beside the permutations' mean and p, the nearest picture's score, and the verdict."""

    nearest: float | None = None
    null: float | None = None
    p: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class EvaluatedScores:
    """The scores of one unit; which there are depends on the classes."""

    scores: dict[str, EvaluatedScore]
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
    return content


def read_evaluation(path: Path, again: str) -> dict:
    """An evaluation's metrics.json, checked; UserError, naming file and key; `again` is the command that makes it."""
    content = read_json(path)
    if {"slice", "stamps", "nearest neighbour"} - set(content):
        raise UserError(f"{path} is of an older version: {again}")
    check(Evaluation, content, path)
    if content["slice"]["scores"].get("accuracy", {}).get("value") is None:       # every slice has an answer
        raise UserError(f'{path} is damaged: "slice.scores.accuracy" is missing or has no value')
    return content
