"""What a finished run says: predictions, scores with intervals, and the table a reader sees."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from functions.evaluation import metrics
from functions.evaluation.intervals import FEW
from functions.evaluation.scores import score_intervals, slice_intervals

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
    """Scores per slice and per patient (mean probability over a patient's slices), beside what always answering
    `largest`, the largest training class, scores on the same rows.

    Scores of patients, and the accuracy of slices, have a 95 % interval over patients where all patients are known. A
    class with fewer than FEW patients has no place in a mean. Returns {"slice": {...}, "patient": {...}}.
    """
    probabilities = predictions[probability_columns(class_names)].to_numpy()
    labels = np.array([class_names.index(name) for name in predictions["label"]])
    subjects, known = patient_ids(predictions["subject"], predictions["path"]), predictions["subject"].notna().all()
    healthy, constant = metrics.healthy_class(class_names), class_names.index(largest)
    units = {"slice": (probabilities, labels, subjects), "patient": metrics.by_patient(probabilities, labels, subjects)}
    result = {}
    for unit, (p, y, who) in units.items():
        classes, spans = metrics.scored_classes(y, who), {}
        if known and unit == "patient":
            spans = score_intervals(p, y, who, healthy, classes)
        elif known:
            spans = slice_intervals(p, y, who)
        chance = metrics.constant_scores(y, constant, len(class_names), healthy, classes, who)
        result[unit] = {"count": len(y), "classes": {class_names[k]: int((y == k).sum()) for k in np.unique(y)}}
        for name, value in metrics.scores(p, y, healthy, classes, who).items():
            low, high = spans.get(name, (np.nan, np.nan))
            result[unit][name] = {"value": value, "low": low, "high": high, "constant": chance[name]}
    return result


def _with_interval(score: dict) -> str:
    if score["value"] is None or not np.isfinite(score["value"]):
        return "not scored"
    low, high = score["low"], score["high"]
    known = np.isfinite(low) and np.isfinite(high) and high > low      # no width: too few to resample, not certainty
    return f"{score['value']:.1%}" + (f" [{100 * low:.1f}–{100 * high:.1f}]" if known else "")


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
    """The printed table, then who was tested, what the intervals are and which classes have too few patients."""
    lines = score_lines(scored, patients_known)
    counts = scored["patient"]["classes"]
    what = ("[95 % intervals] over patients, of this network on this split" if patients_known
            else "patients unknown: no intervals")
    lines.append(f"test {'patients' if patients_known else 'slices'}: "
                 f"{', '.join(f'{name} {n}' for name, n in counts.items())}; largest training class: {largest}; {what}")
    if few := [f"{name} ({n})" for name, n in counts.items() if n < FEW]:
        lines.append(f"fewer than {FEW} patients, hence not scored and in no mean: {', '.join(few)}")
    return lines
