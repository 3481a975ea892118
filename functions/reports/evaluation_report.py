"""The files of an evaluation: predictions.csv, metrics.json, figures and report.html."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from functions.checkpointing.run_folder import provenance, write_table
from functions.evaluation.evaluation import Evaluation, Metrics, metrics_content
from functions.evaluation.intervals import FEW
from functions.evaluation.patients import num_patients
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import healthy_stage
from functions.reports import html_page
from functions.reports.evaluation_plots import plot_reliability, plot_roc, plot_score_by_stage
from functions.reports.evaluation_text import page_sections
from functions.reports.figure_text import Figure
from functions.reports.plots import make_title, plot_confusion_matrix
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_atomically, write_json, write_text

SEEN = "PATIENTS SEEN IN TRAINING"
UNKNOWN_TRAINING = "NOT KNOWN WHO WAS TRAINED ON"
MAX_CURVES = 12           # maximum number of ROC panels


def figures(evaluation: Evaluation, predictions: Predictions, caveats: list[str]) -> dict[str, tuple[Figure, str]]:
    """file name → (figure, description). Classes with fewer than FEW patients are shown as counts only."""
    names, size = evaluation.class_names, len(evaluation.class_names)
    unit = "patients" if evaluation.patient else "slices"
    few = [k for k, row in enumerate(evaluation.first.classes) if row.patients < FEW]
    made = {}
    for rows in ("patient", "slice") if evaluation.patient else ("slice",):
        q, y, _ = predictions.rows(rows)
        counts = np.bincount(y * size + q.argmax(axis=1), minlength=size * size).reshape(size, size)
        title = make_title(f"Confusion matrix, {rows}s", caveats)
        made[f"confusion_{rows}s.png"] = (plot_confusion_matrix(counts, names, title, few),
                                          f"confusion matrix of {rows}s")
    made |= _roc(evaluation, predictions, caveats, unit)
    patients, labels, _ = predictions.rows("patient")
    stages = [names.index(name) for name in evaluation.order or names]
    rank = np.argsort(stages)
    made["stages.png"] = (plot_score_by_stage((patients * rank).sum(axis=1), rank[labels], [names[k] for k in stages],
                                              make_title(f"Expected stage by true class, {unit}", caveats)),
                          "expected stage by true class")
    if calibration := evaluation.calibration:
        after = f"after T = {calibration.temperature:.2f} (ECE {calibration.ece_after:.3f})"
        drawn = {f"before (ECE {calibration.ece_before:.3f})": calibration.before, after: calibration.after}
        made["reliability.png"] = (plot_reliability(drawn, make_title("Reliability, slices", caveats)),
                                   "reliability before and after temperature scaling")
    return made


def _roc(evaluation: Evaluation, predictions: Predictions, caveats: list[str],
         unit: str) -> dict[str, tuple[Figure, str]]:
    """The ROC curve of diseased-or-not, or of each class with enough patients; none if there is none."""
    patients, labels, subjects = predictions.rows("patient")
    healthy, names, rows = healthy_stage(evaluation.class_names), evaluation.class_names, evaluation.first.classes
    curves = {"diseased or not": (-patients[:, healthy], labels != healthy,
                                  evaluation.first.scores["auroc_disease"])} if healthy is not None else {
        f"{name} or not": (patients[:, k], labels == k, rows[k].auroc) for k, name in enumerate(names)}
    curves = {words: curve for words, curve in curves.items()
              if min(num_patients(subjects[curve[1]]), num_patients(subjects[~curve[1]])) >= FEW}
    if not curves:
        return {}
    shown = dict(list(curves.items())[:MAX_CURVES])
    what = unit if len(shown) == len(curves) else f"{unit}: the first {len(shown)} of {len(curves)} classes"
    return {"roc.png": (plot_roc(shown, make_title(f"ROC, {what}", caveats)), f"ROC of {', '.join(shown)}")}


def write(out: Path, evaluation: Evaluation, predictions: Predictions, caveats: list[str], checkpoint: str,
          picture: Callable[[str], np.ndarray], run: Path | None) -> None:
    """Writes predictions.csv, metrics.json, the figures and report.html to `out`, and the report of `run`, if given."""
    out.mkdir(parents=True, exist_ok=True)
    table = predictions.table()
    if caveats:                                               # the table may be copied without its folder
        table["stamps"] = "; ".join(caveats)
    write_table(out / "predictions.csv", table)
    metrics = Metrics(evaluation, caveats, checkpoint=checkpoint)
    write_json(out / "metrics.json", metrics_content(metrics) | provenance())
    shown = ""
    for name, (figure, description) in figures(evaluation, predictions, caveats).items():
        content = html_page.png(figure)
        write_atomically(out / name, lambda file, content=content: file.write(content))
        shown += html_page.picture(content, description)
    sections = page_sections(evaluation, shown, predictions, picture)
    write_text(out / "report.html", html_page.page(f"Evaluation of {checkpoint}", caveats, sections))
    if run is not None:
        write_report(run, sections, caveats)
