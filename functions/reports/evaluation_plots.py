"""Figures of an evaluation: ROC curves, confusion matrices, reliability diagram, score by stage, in stage order."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import roc_curve

from functions.evaluation.evaluation import Evaluation, Score
from functions.evaluation.intervals import FEW
from functions.evaluation.patients import has_two_sides
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import healthy_stage
from functions.reports.evaluation_text import with_interval
from functions.reports.figure_text import Figure, as_written, short
from functions.reports.plots import make_title, plot_confusion_matrix

Figures = dict[str, tuple[Figure, str]]         # file name → (figure, description)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")      # Okabe and Ito
MARKS = ("o", "s", "^", "D", "v", "P")
MAX_CURVES = 12            # maximum number of ROC curves
LONG = 26                  # characters of the longest name beside its AUROC in a legend
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


def main_figures(evaluation: Evaluation, predictions: Predictions, caveats: Sequence[str]) -> Figures:
    """File name → (figure, description) of the ROC curves (if any) and the confusion matrix of patients, or slices."""
    rows = "patient" if evaluation.patient else "slice"
    return _roc(evaluation, predictions, caveats) | confusion_figure(evaluation, predictions, caveats, rows)


def more_figures(evaluation: Evaluation, predictions: Predictions, caveats: Sequence[str]) -> Figures:
    """File name → (figure, description): stages, calibration, and the confusion matrix of slices beside patients'.

    The expected stage is shown for three or more classes of known order.
    """
    made: Figures = {}
    if evaluation.order is not None and len(evaluation.order) > 2:
        patients, labels, _ = predictions.rows("patient")
        stages = evaluation.in_stage_order(evaluation.class_names)
        rank, names = np.argsort(stages), [evaluation.class_names[k] for k in stages]
        title = make_title(f"Expected stage of {_size(evaluation)}", caveats)
        made["stages.png"] = (plot_score_by_stage((patients * rank).sum(axis=1), rank[labels], names, title),
                              "Expected stage: the mean of the stages, weighted by their probabilities; bars: medians "
                              f"of classes of at least {FEW}")
    if calibration := evaluation.calibration:
        after = f"after T = {calibration.temperature:.2f} (ECE {calibration.ece_after:.3f})"
        drawn = {f"before (ECE {calibration.ece_before:.3f})": calibration.before, after: calibration.after}
        slices = f"{evaluation.slice.count:,} test slices"
        made["reliability.png"] = (plot_reliability(drawn, make_title(f"Reliability of {slices}", caveats)),
                                   "Reliability before and after temperature scaling, fitted on validation; marker "
                                   "area: number of slices")
    return made | (confusion_figure(evaluation, predictions, caveats, "slice") if evaluation.patient else {})


def _size(evaluation: Evaluation) -> str:
    return f"{evaluation.first.count:,} test {'patients' if evaluation.patient else 'slices'}"


def confusion_figure(evaluation: Evaluation, predictions: Predictions, caveats: Sequence[str], rows: str) -> Figures:
    """The confusion matrix of `rows` ("patient" or "slice"), classes in the order of stages."""
    names, size = evaluation.class_names, len(evaluation.class_names)
    stages = evaluation.in_stage_order(names)
    patients = {row.name: row.patients for row in evaluation.first.classes}
    few = [place for place, k in enumerate(stages) if patients.get(names[k], 0) < FEW]
    q, y, _ = predictions.rows(rows)
    counts = np.bincount(y * size + q.argmax(axis=1), minlength=size * size).reshape(size, size)
    title = make_title(f"Confusion matrix of {len(y):,} test {rows}s", ["(rows: true class)", *caveats])
    figure = plot_confusion_matrix(counts[np.ix_(stages, stages)], [names[k] for k in stages], title, few)
    return {f"confusion_{rows}s.png": (figure, f"Confusion matrix: numbers of {rows}s, and their shares of the true "
                                               "class")}


def _roc(evaluation: Evaluation, predictions: Predictions, caveats: Sequence[str]) -> Figures:
    """The ROC curves of diseased-or-not and of each class with enough patients; none if there is none.

    The curve of the healthy class, or of either of two classes, is that of diseased-or-not mirrored.
    """
    p, labels, subjects = predictions.rows("patient")
    names, healthy = evaluation.class_names, healthy_stage(evaluation.class_names)
    rows = {row.name: row for row in evaluation.first.classes}
    curves: dict[str, tuple[np.ndarray, np.ndarray, Score]] = {}
    if healthy is not None:
        curves["diseased or not"] = (-p[:, healthy], labels != healthy, evaluation.first.scores["auroc_disease"])
    for k in evaluation.in_stage_order(evaluation.class_names) if healthy is None or len(names) > 2 else ():
        if k != healthy and names[k] in rows and (area := rows[names[k]].auroc):
            curves[f"{names[k]} or not"] = (p[:, k], labels == k, area)
    curves = {name: curve for name, curve in curves.items()
              if has_two_sides(curve[1], subjects)}
    if not curves:
        return {}
    shown = dict(list(curves.items())[:MAX_CURVES])
    part = "" if len(shown) == len(curves) else f": the first {len(shown)} of {len(curves)} curves"
    intervals = "; in brackets 95 % intervals over patients" if evaluation.patient else ""
    return {"roc.png": (plot_roc(shown, make_title(f"ROC of {_size(evaluation)}{part}", caveats)),
                        f"ROC curves of {', '.join(shown)}{intervals}")}


def plot_roc(curves: dict[str, tuple[np.ndarray, np.ndarray, Score]], title: str) -> Figure:
    """ROC curves in one panel, the first in bold, with the AUROC of each and its interval in the legend.

    `curves` maps the name of a curve to (score, positive, AUROC as in the tables).
    """
    separators = ["\n" if len(short(name)) > LONG else " " for name in curves]
    figure = Figure(figsize=(4.6, 4.6 + 0.2 * (len(curves) + separators.count("\n"))), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls=(0, (2, 3)), label="chance: AUROC 0.500")
    for k, (name, (score, positive, area)) in enumerate(curves.items()):
        alarms, hits, _ = roc_curve(positive, score, drop_intermediate=False)
        axis.plot(alarms, hits, color=COLOURS[k % len(COLOURS)], ls=DASHES[k % len(DASHES)], lw=1.8 if k else 3,
                  label=f"{short(name)}:{separators[k]}AUROC {with_interval(area)}")
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.grid(alpha=0.3)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles[1:] + handles[:1], labels[1:] + labels[:1], loc="outside lower center", frameon=False)
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def plot_reliability(curves: Mapping[str, Sequence[Sequence[float]]], title: str) -> Figure:
    """Reliability diagram, one line per curve ("before" and "after" temperature scaling); marker area: slice count."""
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":", label="perfect calibration")
    for (name, points), colour, dash, mark in zip(curves.items(), COLOURS, DASHES, MARKS, strict=False):
        confidence, accuracy, count = map(np.array, zip(*points, strict=True))
        axis.plot(confidence, accuracy, ls=dash, color=colour, lw=2, label=name)
        axis.scatter(confidence, accuracy, s=12 + 120 * count / count.sum(), color=colour, marker=mark,
                     edgecolor="black", lw=0.4)
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    figure.suptitle(title, fontsize="medium")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    return as_written(figure)


def plot_score_by_stage(stage: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Expected stage Σ_k k·p_k of each patient by true class, in stage order; bars are medians of at least FEW."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axis = figure.subplots()
    generator = np.random.default_rng(0)
    for k in range(len(class_names)):
        values = stage[labels == k]
        axis.scatter(k + generator.uniform(-0.18, 0.18, len(values)), values, s=18, color=COLOURS[k % len(COLOURS)],
                     marker=MARKS[k % len(MARKS)], edgecolor="black", lw=0.4)
        if len(values) >= FEW:
            axis.hlines(np.median(values), k - 0.3, k + 0.3, color="black", lw=2)
    names = [short(name) for name in class_names]
    crowded = sum(map(len, names)) > 36
    axis.set_xticks(range(len(names)), names, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    axis.set(xlabel="true class", ylabel=f"expected stage, 0 to {len(class_names) - 1}",
             ylim=(-0.05, len(class_names) - 0.95), xlim=(-0.5, len(class_names) - 0.5))
    figure.suptitle(title, fontsize="medium")
    axis.grid(alpha=0.3, axis="y")
    return as_written(figure)
