"""What a finished run says: predictions, scores with intervals, and the table a reader sees."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from functions import metrics
from functions.intervals import RESAMPLES

FEW = 5      # people of a class, below which it has counts and no scores of its own
OTHER_COLUMNS = {"path", "subject", "label", "stamps"}      # of predictions.csv
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC, mean over classes",
    "auroc_disease": "AUROC, diseased or not",
}


def patient_ids(subjects: Sequence[str | None], paths: Sequence[str]) -> np.ndarray:
    """Whose slice each image is; a slice of an unknown patient stands for itself."""
    return np.array([path if pd.isna(subject) else subject for subject, path in zip(subjects, paths, strict=True)])


def prediction_table(paths: Sequence[str], subjects: Sequence[str | None], labels: np.ndarray,
                     probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """One row an image: path, subject, label (the class's name), one probability a class under the class's name."""
    table = pd.DataFrame({"path": paths, "subject": subjects, "label": [class_names[k] for k in labels]})
    columns = probability_columns(class_names)
    return table.join(pd.DataFrame(probabilities.astype(float), columns=columns, index=table.index))


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities: their names, "class path" where another column is called so."""
    columns = []
    for name in class_names:
        column = name
        while column in OTHER_COLUMNS or (column != name and column in class_names) or column in columns:
            column = f"class {column}"
        columns.append(column)
    return columns


def score_predictions(predictions: pd.DataFrame, class_names: list[str], largest: str) -> dict:
    """Scores per slice and per patient (mean probability over a patient's slices), each with a 95 % interval from
    resampling patients, beside what always answering `largest`, the largest training class, scores on the same rows.

    Slices of unknown patients count as patients of their own. Returns {"slice": {...}, "patient": {...}}.
    """
    probabilities = predictions[probability_columns(class_names)].to_numpy()
    labels = np.array([class_names.index(name) for name in predictions["label"]])
    subjects = patient_ids(predictions["subject"], predictions["path"])
    healthy, constant = metrics.healthy_class(class_names), class_names.index(largest)
    units = {"slice": (probabilities, labels, subjects), "patient": metrics.by_patient(probabilities, labels, subjects)}
    result = {}
    for unit, (p, y, who) in units.items():
        point, interval = metrics.scores(p, y, healthy), metrics.intervals(p, y, who, healthy)
        chance = metrics.constant_scores(y, constant, len(class_names), healthy)
        result[unit] = {"count": len(y), "classes": {class_names[k]: int((y == k).sum()) for k in np.unique(y)}} | {
            name: {"value": value, "low": interval[name][0], "high": interval[name][1], "constant": chance[name]}
            for name, value in point.items()
        }
    return result


def _with_interval(score: dict) -> str:
    if score["value"] is None or not np.isfinite(score["value"]):
        return "not measurable"
    low, high = score["low"], score["high"]
    known = np.isfinite(low) and np.isfinite(high) and high > low      # no width: too few to resample, not certainty
    return f"{score['value']:.1%} " + (f"[{100 * low:.1f}–{100 * high:.1f}]" if known else "[?]")


def score_lines(scored: dict, patients_known: bool) -> list[str]:
    """A score a line, per slice and per patient, each beside what the constant answer scores.

    Where patients are unknown there is nothing to say per patient.
    """
    units = list(scored) if patients_known else ["slice"]
    lines = [f"{'':26}" + "".join(f"{f'per {unit}':>22}{'always largest':>16}" for unit in units)]
    for name in (name for name in WORDS if name in scored["slice"]):
        cells = ""
        for unit in units:
            constant = scored[unit][name]["constant"]
            guess = f"{constant:.1%}" if np.isfinite(constant) else "-"
            cells += f"{_with_interval(scored[unit][name]):>22}{guess:>16}"
        lines.append(f"{WORDS[name]:26}{cells}")
    return lines


def result_lines(scored: dict, largest: str, patients_known: bool) -> list[str]:
    """The printed table, then who was tested; where patients are unknown the interval over slices is too narrow."""
    lines = score_lines(scored, patients_known)
    counts = scored["patient"]["classes"]
    who = "patients" if patients_known else "slices, because nobody can tell whose they are: too narrow"
    lines.append(f"test {who.split(',')[0]}: {', '.join(f'{name} {n}' for name, n in counts.items())}; "
                 f"largest training class: {largest}; [95 % intervals: {RESAMPLES:,} resamples of {who}]")
    few = [f"{name} ({n})" for name, n in counts.items() if n < FEW]
    if few:
        lines.append(f"fewer than {FEW} people, so hardly measurable and their intervals too narrow: {', '.join(few)}")
    return lines
