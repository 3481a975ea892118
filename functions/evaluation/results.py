"""The results of a finished run: predictions, scores with intervals, and the printed table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from functions.evaluation import metrics
from functions.evaluation.intervals import FEW
from functions.evaluation.scores import score_intervals, slice_intervals

OTHER_COLUMNS = {"path", "subject", "label", "stamps"}      # of predictions.csv
SCORE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC, mean over classes",
    "auroc_disease": "AUROC, diseased or not",
}


def patient_ids(subjects: Sequence[str | None], paths: Sequence[str]) -> np.ndarray:
    """The patient id of each image; a slice of an unknown patient gets its path as id."""
    return np.array([path if pd.isna(subject) else subject for subject, path in zip(subjects, paths, strict=True)])


def prediction_table(paths: Sequence[str], subjects: Sequence[str | None], labels: np.ndarray,
                     probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """One row per image: path, subject, label (class name), and one probability column per class."""
    table = pd.DataFrame({"path": paths, "subject": subjects, "label": [class_names[k] for k in labels]})
    columns = probability_columns(class_names)
    return table.join(pd.DataFrame(probabilities.astype(float), columns=columns, index=table.index))


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """The names of the probability columns: the class names, or e.g. "class path" if the name is already a column."""
    columns = []
    for name in class_names:
        column = name
        while column in OTHER_COLUMNS or (column != name and column in class_names) or column in columns:
            column = f"class {column}"
        columns.append(column)
    return columns


def score_predictions(predictions: pd.DataFrame, class_names: list[str], largest: str) -> dict:
    """Scores per slice and per patient (mean probability over a patient's slices): {"slice": …, "patient": …}.

    Each score is given with that of always predicting `largest`, the largest training class. Patient scores and slice
    accuracy have a 95 % interval over patients if all patients are known. Classes with fewer than FEW patients are
    excluded from means.
    """
    probabilities = predictions[probability_columns(class_names)].to_numpy()
    labels = np.array([class_names.index(name) for name in predictions["label"]])
    subjects, known = patient_ids(predictions["subject"], predictions["path"]), predictions["subject"].notna().all()
    healthy, constant = metrics.healthy_class(class_names), class_names.index(largest)
    units = {"slice": (probabilities, labels, subjects), "patient": metrics.by_patient(probabilities, labels, subjects)}
    result = {}
    for unit, (p, y, ids) in units.items():
        classes, intervals = metrics.scored_classes(y, ids), {}
        if known and unit == "patient":
            intervals = score_intervals(p, y, ids, healthy, classes)
        elif known:
            intervals = slice_intervals(p, y, ids)
        baseline = metrics.constant_scores(y, constant, len(class_names), healthy, classes, ids)
        result[unit] = {"count": len(y), "classes": {class_names[k]: int((y == k).sum()) for k in np.unique(y)}}
        for name, value in metrics.scores(p, y, healthy, classes, ids).items():
            low, high = intervals.get(name, (np.nan, np.nan))
            result[unit][name] = {"value": value, "low": low, "high": high, "constant": baseline[name]}
    return result


def _with_interval(score: dict) -> str:
    if score["value"] is None or not np.isfinite(score["value"]):
        return "not scored"
    low, high = score["low"], score["high"]
    known = np.isfinite(low) and np.isfinite(high) and high > low      # an interval without width is not shown
    return f"{score['value']:.1%}" + (f" [{100 * low:.1f}–{100 * high:.1f}]" if known else "")


def score_lines(scored: dict, patients_known: bool) -> list[str]:
    """One line per score, per slice and (if patients are known) per patient, with the constant prediction's score."""
    units = list(scored) if patients_known else ["slice"]
    lines = [f"{'':26}" + "".join(f"{f'per {unit}':>22}{'always largest':>16}" for unit in units)]
    for name in (name for name in SCORE_NAMES if name in scored["slice"]):
        cells = ""
        for unit in units:
            constant = scored[unit][name]["constant"]
            baseline = f"{constant:.1%}" if np.isfinite(constant) else "-"
            cells += f"{_with_interval(scored[unit][name]):>22}{baseline:>16}"
        lines.append(f"{SCORE_NAMES[name]:26}{cells}")
    return lines


def result_lines(scored: dict, largest: str, patients_known: bool) -> list[str]:
    """The printed table, the test patients per class, the kind of interval, and the classes with too few patients."""
    lines = score_lines(scored, patients_known)
    counts = scored["patient"]["classes"]
    kind = ("[95 % intervals] over patients, of this network on this split" if patients_known
            else "patients unknown: no intervals")
    lines.append(f"test {'patients' if patients_known else 'slices'}: "
                 f"{', '.join(f'{name} {n}' for name, n in counts.items())}; largest training class: {largest}; {kind}")
    if few := [f"{name} ({n})" for name, n in counts.items() if n < FEW]:
        lines.append(f"fewer than {FEW} patients, not scored and excluded from means: {', '.join(few)}")
    return lines
