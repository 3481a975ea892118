"""What a finished run says: predictions, scores with intervals, and the table a reader sees."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from functions import metrics

WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auroc": "AUROC, mean over classes",
    "auroc_disease": "AUROC, diseased or not",
}


def prediction_table(paths: Sequence[str], subjects: Sequence[str | None], labels: np.ndarray,
                     probabilities: np.ndarray, class_names: list[str]) -> pd.DataFrame:
    """One row an image: path, subject, label (the class's name), one probability a class under the class's name."""
    table = pd.DataFrame({"path": paths, "subject": subjects, "label": [class_names[k] for k in labels]})
    return table.join(pd.DataFrame(probabilities.astype(float), columns=class_names))


def score_predictions(predictions: pd.DataFrame, class_names: list[str], largest: str) -> dict:
    """Scores per slice and per patient (mean probability over a patient's slices), each with a 95 % interval from
    resampling patients, beside what always answering `largest`, the largest training class, scores on the same rows.

    Slices of unknown patients count as patients of their own. Returns {"slice": {...}, "patient": {...}}.
    """
    probabilities = predictions[class_names].to_numpy()
    labels = np.array([class_names.index(name) for name in predictions["label"]])
    subjects = predictions["subject"].where(predictions["subject"].notna(), predictions["path"]).to_numpy(dtype=str)
    healthy, constant = metrics.healthy_class(class_names), class_names.index(largest)
    units = {"slice": (probabilities, labels, subjects), "patient": metrics.by_patient(probabilities, labels, subjects)}
    result = {}
    for unit, (p, y, who) in units.items():
        point, interval = metrics.scores(p, y, healthy), metrics.intervals(p, y, who, healthy)
        chance = metrics.constant_scores(y, constant, healthy)
        result[unit] = {"count": len(y), "classes": {class_names[k]: int((y == k).sum()) for k in np.unique(y)}} | {
            name: {"value": value, "low": interval[name][0], "high": interval[name][1], "constant": chance[name]}
            for name, value in point.items()
        }
    return result


def _with_interval(score: dict) -> str:
    if not np.isfinite(score["value"]):
        return "not measurable"
    low, high = (f"{100 * score[end]:.1f}" if np.isfinite(score[end]) else "?" for end in ("low", "high"))
    return f"{score['value']:.1%} [{low}–{high}]"


def result_lines(scored: dict, largest: str) -> list[str]:
    """The printed table: a score a line, per slice and per patient, each beside what the constant answer scores."""
    lines = [f"{'':26}{'per slice':>22}{'always largest':>16}{'per patient':>22}{'always largest':>16}"]
    for name in (name for name in WORDS if name in scored["slice"]):
        cells = (f"{_with_interval(scored[unit][name]):>22}{scored[unit][name]['constant']:>16.1%}" for unit in scored)
        lines.append(f"{WORDS[name]:26}{''.join(cells)}")
    people = ", ".join(f"{name} {count}" for name, count in scored["patient"]["classes"].items())
    lines.append(f"test patients: {people}; largest training class: {largest}; "
                 "[95 % intervals: 2,000 resamples of patients]")
    return lines
