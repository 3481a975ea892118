"""Figures of an evaluation: ROC curves, reliability diagram, score by stage. Functions return figures."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_curve

from functions.evaluation.evaluation import Score
from functions.evaluation.intervals import FEW
from functions.reports.evaluation_text import with_interval
from functions.reports.figure_text import Figure, as_written, short

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")      # Okabe and Ito
MARKS = ("o", "s", "^", "D", "v", "P")
COLUMNS = 4                # maximum number of panels per row
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


def plot_roc(curves: dict[str, tuple[np.ndarray, np.ndarray, Score]], title: str) -> Figure:
    """ROC curves, one panel per entry of `curves`, with the AUROC and its interval in the legend.

    `curves` maps the title of a panel to (score, positive, AUROC as in the tables).
    """
    columns, rows = min(len(curves), COLUMNS), -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(4.6 * columns, 4.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for (name, (score, positive, area)), axis in zip(curves.items(), axes, strict=False):
        label = f"AUROC {with_interval(area)}"
        alarms, hits, _ = roc_curve(positive, score, drop_intermediate=False)
        axis.plot(alarms, hits, color=COLOURS[0], lw=2, label=label)
        axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls="--", label="chance")
        axis.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
        axis.set_title(short(name, 44), fontsize="medium")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    for empty in axes:
        empty.remove()
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def plot_reliability(curves: dict[str, list[tuple[float, float, int]]], title: str) -> Figure:
    """Reliability diagram, one line per curve ("before" and "after" temperature scaling); marker area: slice count."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":", label="perfect calibration")
    for (name, points), colour, dash, mark in zip(curves.items(), COLOURS, DASHES, MARKS, strict=False):
        confidence, accuracy, count = map(np.array, zip(*points, strict=True))
        axis.plot(confidence, accuracy, ls=dash, color=colour, lw=2, label=name)
        axis.scatter(confidence, accuracy, s=12 + 120 * count / count.sum(), color=colour, marker=mark,
                     edgecolor="black", lw=0.4)
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.01))
    figure.suptitle(title, fontsize="medium")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize="small")
    return as_written(figure)


def plot_score_by_stage(stage: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Expected stage Σ_k k·p_k of each patient by true class, in stage order; bars are medians of at least FEW."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    generator = np.random.default_rng(0)
    for k in range(len(class_names)):
        values = stage[labels == k]
        axis.scatter(k + generator.uniform(-0.18, 0.18, len(values)), values, s=18, color=COLOURS[k % len(COLOURS)],
                     marker=MARKS[k % len(MARKS)], edgecolor="black", lw=0.4)
        if len(values) >= FEW:
            axis.hlines(np.median(values), k - 0.3, k + 0.3, color="black", lw=2)
    names = [short(name) for name in class_names]
    crowded = sum(map(len, names)) > 50
    axis.set_xticks(range(len(names)), names, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    axis.set(xlabel="true class", ylabel=f"expected stage, 0 to {len(class_names) - 1}",
             ylim=(-0.05, len(class_names) - 0.95), xlim=(-0.5, len(class_names) - 0.5))
    figure.suptitle(title, fontsize="medium")
    axis.grid(alpha=0.3, axis="y")
    return as_written(figure)
