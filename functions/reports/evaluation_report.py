"""The evaluation of one set of predictions: scores, figures and files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from functions.checkpointing.run_folder import provenance, write_table
from functions.evaluation import scores as evaluation
from functions.evaluation.calibration import apply_temperature, fit_temperature, reliability
from functions.evaluation.intervals import FEW, RESAMPLES
from functions.evaluation.metrics import by_patient, healthy_class, scored_classes
from functions.evaluation.results import prediction_table
from functions.reports import html_page
from functions.reports.evaluation_plots import plot_reliability, plot_roc, plot_score_by_stage
from functions.reports.evaluation_text import page_sections
from functions.reports.plots import make_title, plot_confusion_matrix
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_atomically, write_json, write_text

SEEN = "PATIENTS SEEN IN TRAINING"
MAX_CURVES = 12           # maximum number of ROC panels
UNKNOWN_TRAINING = "NOT KNOWN WHO WAS TRAINED ON"


def evaluate_all(probabilities: dict[str, np.ndarray], parts: dict[str, pd.DataFrame], class_names: list[str],
                 order: list[int] | None, largest: int, other: np.ndarray | None = None,
                 nearest: tuple[np.ndarray, np.ndarray] | None = None, seen: bool = False,
                 resamples: int = RESAMPLES) -> dict:
    """Scores per slice, per patient and per class, calibration and comparisons; keys with "_" hold data for figures.

    `other` holds another run's probabilities on the same slices, `nearest` the classes of the nearest neighbours (as
    split, other patients only). If any patient is unknown, there are no patient scores, intervals, p-value or verdict;
    without an `order` there is no kappa. `resamples` is the number of label permutations. `seen`: the network was
    trained on some of these patients.
    """
    p, table = probabilities["test"], parts["test"]
    y, subjects = table["label"].to_numpy(), table["who"].to_numpy().astype(str)
    healthy, stages = healthy_class(class_names), order or list(range(len(class_names)))
    known = bool(table["subject"].notna().all())
    units = {"patient": lambda q: by_patient(q, y, subjects)} if known else {}
    units["slice"] = lambda q: (q, y, subjects)
    result = {"classes": class_names, "largest": class_names[largest], "patients known": known,
              "order": [class_names[k] for k in stages] if order else None, "nearest neighbour": {},
              "resamples": resamples, "primary": evaluation.primary_score(healthy)}
    for unit, rows_of in units.items():
        q, labels, ids = rows_of(p)
        if unit == "patient":
            scored = evaluation.evaluate_patients(q, labels, ids, stages, largest, healthy, resamples, seen=seen)
        else:
            scored = evaluation.evaluate_slices(q, labels, ids, stages, largest, healthy, known)
        classes = scored_classes(labels, ids)
        for condition, predicted in zip(("as split", "among strangers"), nearest or (), strict=False):
            votes, truth, _ = rows_of(np.eye(len(class_names))[predicted])
            result["nearest neighbour"].setdefault(condition, {})[unit] = evaluation.points(
                votes, truth, stages, healthy, classes, ids)
        for name, score in scored.items():
            score["nearest"] = result["nearest neighbour"].get("as split", {}).get(unit, {}).get(name)
        result[unit] = {"count": len(labels), "scores": scored,
                        "classes": evaluation.by_class(q, labels, ids, class_names, unit == "patient")}
        if other is not None and unit == "patient":
            result["against"] = evaluation.paired(q, rows_of(other)[0], labels, ids, healthy)
    patients = by_patient(p, y, subjects)
    if known:
        result["aggregation"] = {
            method: _main_scores(q, patients[1], patients[2], stages, healthy)
            for method, q in evaluation.aggregated(p, y, subjects).items()}
    if "val" in probabilities:
        temperature = fit_temperature(probabilities["val"], parts["val"]["label"].to_numpy())
        result["calibration"] = {"temperature": temperature}
        for when, q in (("before", p), ("after", apply_temperature(p, temperature))):
            result["calibration"] |= {when: reliability(q, y), f"ece {when}": evaluation.points(q, y, stages)["ece"]}
    if order is None:
        _drop(result, "kappa")
    if known and healthy is not None:
        sizes = table.groupby(["who", table["label"] == healthy]).size().groupby(level=1).median()
        if len(sizes) == 2:
            result["_slices"] = float(sizes[True]), float(sizes[False])
    return result | {"_table": table, "_p": p, "_patients": patients, "_stages": stages}


def _main_scores(q: np.ndarray, y: np.ndarray, subjects: np.ndarray, stages: list[int],
                 healthy: int | None) -> dict[str, dict]:
    classes = scored_classes(y, subjects)
    value = evaluation.points(q, y, stages, healthy, classes, subjects)
    intervals = evaluation.score_intervals(q, y, subjects, healthy, classes)
    none = (np.nan, np.nan)
    return {name: {"value": value[name], "low": intervals.get(name, none)[0], "high": intervals.get(name, none)[1]}
            for name in ("accuracy", "balanced_accuracy", "auroc")}


def _drop(nested: dict, name: str) -> None:
    nested.pop(name, None)
    for part in nested.values():
        if isinstance(part, dict):
            _drop(part, name)


def figures(result: dict, caveats: list[str]) -> dict:
    """file name → (figure, description). Classes with fewer than FEW patients are shown as counts only."""
    names, table, p = result["classes"], result["_table"], result["_p"]
    patients, labels, subjects = result["_patients"]
    size, stages = len(names), result["_stages"]
    unit = "patients" if result["patients known"] else "slices"
    rows = result[unit.removesuffix("s")]["classes"]
    few = [k for k, row in enumerate(rows) if row["people"] < FEW]

    def confusion(q: np.ndarray, y: np.ndarray, rows_name: str):
        counts = np.bincount(y * size + q.argmax(axis=1), minlength=size * size).reshape(size, size)
        title = f"Confusion matrix, {rows_name}"
        return plot_confusion_matrix(counts, names, make_title(title, caveats), few), f"confusion matrix of {rows_name}"

    made = {"confusion_slices.png": confusion(p, table["label"].to_numpy(), "slices")}
    if result["patients known"]:
        made = {"confusion_patients.png": confusion(patients, labels, "patients")} | made
    healthy = healthy_class(names)
    asked = {"diseased or not": (-patients[:, healthy], labels != healthy)} if healthy is not None else {
        f"{name} or not": (patients[:, k], labels == k) for k, name in enumerate(names)}
    computed = [result[unit.removesuffix("s")]["scores"]["auroc_disease"]] if healthy is not None else [
        row.get("auroc", {}) for row in rows]
    ends = {words: (score.get("low", np.nan), score.get("high", np.nan))
            for words, score in zip(asked, computed, strict=True)}
    curves = {words: (score, positive) for words, (score, positive) in asked.items()
              if min(len(set(subjects[positive])), len(set(subjects[~positive]))) >= FEW}
    if curves:
        shown = dict(list(curves.items())[:MAX_CURVES])
        what = unit if len(shown) == len(curves) else f"{unit}: the first {len(shown)} of {len(curves)} classes"
        made["roc.png"] = (plot_roc(shown, make_title(f"ROC, {what}", caveats), ends),
                           f"ROC of {', '.join(shown)}")
    rank = np.argsort(stages)
    made["stages.png"] = (plot_score_by_stage((patients * rank).sum(axis=1), rank[labels], [names[k] for k in stages],
                                              make_title(f"Expected stage by true class, {unit}", caveats)),
                          "expected stage by true class")
    if calibration := result.get("calibration"):
        after = f"after T = {calibration['temperature']:.2f} (ECE {calibration['ece after']:.3f})"
        drawn = {f"before (ECE {calibration['ece before']:.3f})": calibration["before"], after: calibration["after"]}
        made["reliability.png"] = (plot_reliability(drawn, make_title("Reliability, slices", caveats)),
                                   "reliability before and after temperature scaling")
    return made


def write(out: Path, result: dict, caveats: list[str], checkpoint: str, picture: Callable[[str], np.ndarray],
          run: Path | None) -> None:
    """Writes predictions.csv, metrics.json, the figures and report.html to `out`, and the report of `run`, if given."""
    out.mkdir(parents=True, exist_ok=True)
    table, p, names = result["_table"], result["_p"], result["classes"]
    predictions = prediction_table(table["path"], table["subject"], table["label"].to_numpy(), p, names)
    if caveats:                                               # the table may be copied without its folder
        predictions["stamps"] = "; ".join(caveats)
    write_table(out / "predictions.csv", predictions)
    plain = {name: value for name, value in result.items() if not name.startswith("_")}
    write_json(out / "metrics.json", plain | {"checkpoint": checkpoint, "stamps": caveats} | provenance())
    drawn = figures(result, caveats)
    shown = ""
    for name, (figure, description) in drawn.items():
        content = html_page.png(figure)
        write_atomically(out / name, lambda file, content=content: file.write(content))
        shown += html_page.picture(content, description)
    sections = page_sections(result, shown, picture)
    write_text(out / "report.html", html_page.page(f"Evaluation of {checkpoint}", caveats, sections))
    if run is not None:
        write_report(run, sections, caveats)
