"""An evaluation: everything computed from probabilities, drawn, and written down."""

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
from functions.reports.evaluation_words import page_sections
from functions.reports.plots import make_title, plot_confusion_matrix
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_atomically, write_json, write_text

SEEN = "PATIENTS SEEN IN TRAINING"
MAX_CURVES = 12          # ROC curves drawn, a panel each
UNKNOWN_TRAINING = "NOT KNOWN WHO WAS TRAINED ON"


def evaluate_all(probabilities: dict[str, np.ndarray], parts: dict[str, pd.DataFrame], class_names: list[str],
                 order: list[int] | None, largest: int, other: np.ndarray | None = None,
                 nearest: tuple[np.ndarray, np.ndarray] | None = None, met: bool = False,
                 resamples: int = RESAMPLES) -> dict:
    """Scores per slice and per patient, by class, calibrated, compared; arrays for figures stand under "_"-names.

    `other` are another run's probabilities on the same slices, `nearest` the classes of their nearest pictures (as
    split, among strangers). Where somebody's patient is unknown there are no scores per patient, and no intervals,
    p-value or verdict at all; without an `order` there is no kappa. `resamples`: how often the patients' labels
    are permuted.
    """
    p, table = probabilities["test"], parts["test"]
    y, who = table["label"].to_numpy(), table["who"].to_numpy().astype(str)
    healthy, stages = healthy_class(class_names), order or list(range(len(class_names)))
    known = bool(table["subject"].notna().all())
    units = {"patient": lambda q: by_patient(q, y, who)} if known else {}
    units["slice"] = lambda q: (q, y, who)
    result = {"classes": class_names, "largest": class_names[largest], "patients known": known,
              "order": [class_names[k] for k in stages] if order else None, "nearest neighbour": {},
              "resamples": resamples, "primary": evaluation.primary_score(healthy)}
    for unit, rows_of in units.items():
        q, labels, people = rows_of(p)
        if unit == "patient":
            scored = evaluation.evaluate_patients(q, labels, people, stages, largest, healthy, resamples, met=met)
        else:
            scored = evaluation.evaluate_slices(q, labels, people, stages, largest, healthy, known)
        classes = scored_classes(labels, people)
        for how, calls in zip(("as split", "among strangers"), nearest or (), strict=False):
            votes, truth, _ = rows_of(np.eye(len(class_names))[calls])
            result["nearest neighbour"].setdefault(how, {})[unit] = evaluation.points(votes, truth, stages, healthy,
                                                                                      classes, people)
        for name, score in scored.items():
            score["nearest"] = result["nearest neighbour"].get("as split", {}).get(unit, {}).get(name)
        result[unit] = {"count": len(labels), "scores": scored,
                        "classes": evaluation.by_class(q, labels, people, class_names, unit == "patient")}
        if other is not None and unit == "patient":
            result["against"] = evaluation.paired(q, rows_of(other)[0], labels, people, healthy)
    people = by_patient(p, y, who)
    if known:
        result["aggregation"] = {
            way: _ways(q, people[1], people[2], stages, healthy)
            for way, q in evaluation.aggregated(p, y, who).items()}
    if "val" in probabilities:
        temperature = fit_temperature(probabilities["val"], parts["val"]["label"].to_numpy())
        result["calibration"] = {"temperature": temperature}
        for when, q in (("before", p), ("after", apply_temperature(p, temperature))):
            result["calibration"] |= {when: reliability(q, y), f"ece {when}": evaluation.points(q, y, stages)["ece"]}
    if order is None:
        _drop(result, "kappa")
    return result | {"_table": table, "_p": p, "_patients": people, "_stages": stages}


def _ways(q: np.ndarray, y: np.ndarray, who: np.ndarray, stages: list[int], healthy: int | None) -> dict[str, dict]:
    classes = scored_classes(y, who)
    value = evaluation.points(q, y, stages, healthy, classes, who)
    spans = evaluation.score_intervals(q, y, who, healthy, classes)
    nowhere = (np.nan, np.nan)
    return {name: {"value": value[name], "low": spans.get(name, nowhere)[0], "high": spans.get(name, nowhere)[1]}
            for name in ("accuracy", "balanced_accuracy", "auroc")}


def _drop(nested: dict, name: str) -> None:
    nested.pop(name, None)
    for part in nested.values():
        if isinstance(part, dict):
            _drop(part, name)


def figures(result: dict, stamps: list[str]) -> dict:
    """file name → (figure, description). Of classes with few people no shares are shown."""
    names, table, p = result["classes"], result["_table"], result["_p"]
    people, labels, subjects = result["_patients"]
    size, stages = len(names), result["_stages"]
    unit = "patients" if result["patients known"] else "slices"
    rows = result[unit.removesuffix("s")]["classes"]
    few = [k for k, row in enumerate(rows) if row["people"] < FEW]

    def confusion(q: np.ndarray, y: np.ndarray, of: str):
        counts = np.bincount(y * size + q.argmax(axis=1), minlength=size * size).reshape(size, size)
        return plot_confusion_matrix(counts, names, make_title(of, stamps), few), f"confusion matrix of {of}"

    made = {"confusion_slices.png": confusion(p, table["label"].to_numpy(), "slices")}
    if result["patients known"]:
        made = {"confusion_patients.png": confusion(people, labels, "patients")} | made
    healthy = healthy_class(names)
    asked = {"diseased or not": (-people[:, healthy], labels != healthy)} if healthy is not None else {
        f"{name} or not": (people[:, k], labels == k) for k, name in enumerate(names)}
    curves = {words: (score, positive) for words, (score, positive) in asked.items()
              if min(len(set(subjects[positive])), len(set(subjects[~positive]))) >= FEW}
    if curves:
        shown = dict(list(curves.items())[:MAX_CURVES])
        what = unit if len(shown) == len(curves) else f"{unit}: the first {len(shown)} of {len(curves)} classes"
        made["roc.png"] = (plot_roc(shown, make_title(what, stamps), result["patients known"]),
                           f"ROC of {', '.join(shown)}")
    rank = np.argsort(stages)
    made["stages.png"] = (plot_score_by_stage((people * rank).sum(axis=1), rank[labels], [names[k] for k in stages],
                                              make_title(unit, stamps)), "expected stage against true class")
    if calibration := result.get("calibration"):
        after = f"after T = {calibration['temperature']:.2f} (ECE {calibration['ece after']:.3f})"
        drawn = {f"before (ECE {calibration['ece before']:.3f})": calibration["before"], after: calibration["after"]}
        made["reliability.png"] = (plot_reliability(drawn, make_title("slices", stamps)),
                                   "reliability before and after the temperature")
    return made


def write(out: Path, result: dict, stamps: list[str], checkpoint: str, picture: Callable[[str], np.ndarray],
          run: Path | None) -> None:
    """predictions.csv, metrics.json, the figures and report.html into `out`; the report of `run` too, if given."""
    out.mkdir(parents=True, exist_ok=True)
    table, p, names = result["_table"], result["_p"], result["classes"]
    predictions = prediction_table(table["path"], table["subject"], table["label"].to_numpy(), p, names)
    if stamps:                                                # a table travels without its folder
        predictions["stamps"] = "; ".join(stamps)
    write_table(out / "predictions.csv", predictions)
    plain = {name: value for name, value in result.items() if not name.startswith("_")}
    write_json(out / "metrics.json", plain | {"checkpoint": checkpoint, "stamps": stamps} | provenance())
    drawn = figures(result, stamps)
    shown = ""
    for name, (figure, words) in drawn.items():
        content = html_page.png(figure)
        write_atomically(out / name, lambda file, content=content: file.write(content))
        shown += html_page.picture(content, words)
    sections = page_sections(result, shown, picture)
    write_text(out / "report.html", html_page.page(f"Evaluation of {checkpoint}", stamps, sections))
    if run is not None:
        write_report(run, sections, stamps)
