"""Figures of an evaluation: ROC with its band, reliability, score against stage. Never shows, never saves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from functions.metrics import patient_weights
from functions.plots import plain_text
from functions.results import FEW

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")      # Okabe and Ito
MARKS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


def plot_roc(curves: dict[str, tuple[np.ndarray, np.ndarray]], subjects: np.ndarray, title: str,
             resamples: int = 500) -> Figure:
    """Sensitivity against 1 - specificity, a panel each (words → score, positive), with the 95 % band from resampling
    patients within their classes.
    """
    grid = np.linspace(0, 1, 101)
    figure = Figure(figsize=(4.6 * len(curves), 4.6), layout="constrained")
    for axis, (words, (score, positive)) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(),
                                                strict=True):
        drawn = [_roc(score, positive, row, grid)
                 for weights in patient_weights(positive.astype(int), subjects, resamples, 0) for row in weights]
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
        axis.fill_between(grid, low, high, color=COLOURS[0], alpha=0.2, label="95 % of resampled patients")
        axis.plot(grid, _roc(score, positive, np.ones(len(score)), grid), color=COLOURS[0], lw=2, label="all of them")
        axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls="--", label="guessing")
        axis.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
        axis.set_title(words, parse_math=False, fontsize="medium")
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    figure.suptitle(title, parse_math=False, fontsize="medium")
    return figure


def _roc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    order = np.argsort(-score, kind="stable")
    hits, alarms = np.cumsum((weights * positive)[order]), np.cumsum((weights * ~positive)[order])
    last = np.r_[np.diff(score[order]) != 0, True]                       # where a threshold can lie
    if hits[-1] == 0 or alarms[-1] == 0:
        return np.full(len(grid), np.nan)
    return np.interp(grid, np.r_[0, alarms[last] / alarms[-1]], np.r_[0, hits[last] / hits[-1]])


def plot_reliability(curves: dict[str, list[tuple[float, float, int]]], title: str) -> Figure:
    """Share right against confidence, a line each ("before", "after" a temperature); larger marks are more slices."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":", label="as often right as it says")
    for (name, points), colour, dash, mark in zip(curves.items(), COLOURS, DASHES, MARKS, strict=False):
        confidence, right, count = map(np.array, zip(*points, strict=True))
        axis.plot(confidence, right, ls=dash, color=colour, lw=2, label=name)
        axis.scatter(confidence, right, s=12 + 120 * count / count.sum(), color=colour, marker=mark, edgecolor="black",
                     lw=0.4)
    axis.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.01))
    figure.suptitle(title, parse_math=False, fontsize="medium")
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize="small")
    return figure


def plot_score_by_stage(stage: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Each patient's expected stage Σ_k k·p_k against the true class, stages in order; bars: medians of FEW or more."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    generator = np.random.default_rng(0)
    for k in range(len(class_names)):
        values = stage[labels == k]
        axis.scatter(k + generator.uniform(-0.18, 0.18, len(values)), values, s=18, color=COLOURS[k % len(COLOURS)],
                     marker=MARKS[k % len(MARKS)], edgecolor="black", lw=0.4)
        if len(values) >= FEW:
            axis.hlines(np.median(values), k - 0.3, k + 0.3, color="black", lw=2)
    axis.set_xticks(range(len(class_names)), [plain_text(name) for name in class_names])
    axis.set(xlabel="true class", ylabel=f"expected stage, 0 to {len(class_names) - 1}",
             ylim=(-0.05, len(class_names) - 0.95), xlim=(-0.5, len(class_names) - 0.5))
    figure.suptitle(title, parse_math=False, fontsize="medium")
    axis.grid(alpha=0.3, axis="y")
    return figure
