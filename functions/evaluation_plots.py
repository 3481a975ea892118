"""Figures of an evaluation: ROC with its band, reliability, score against stage. Never shows, never saves."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from functions.metrics import patient_weights

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")      # Okabe and Ito
DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))


def plot_roc(score: np.ndarray, positive: np.ndarray, subjects: np.ndarray, title: str, resamples: int = 500) -> Figure:
    """Sensitivity against 1 - specificity, with the 95 % band from resampling patients within their classes."""
    grid = np.linspace(0, 1, 101)
    curves = [_roc(score, positive, row, grid)
              for weights in patient_weights(positive.astype(int), subjects, resamples, 0) for row in weights]
    low, high = np.nanpercentile(curves, [2.5, 97.5], axis=0)
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.fill_between(grid, low, high, color=COLOURS[0], alpha=0.2, label="95 % of resampled patients")
    axis.plot(grid, _roc(score, positive, np.ones(len(score)), grid), color=COLOURS[0], lw=2, label="all patients")
    axis.plot([0, 1], [0, 1], color="0.5", lw=1, ls="--", label="guessing")
    axis.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01), title=title)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return figure


def _roc(score: np.ndarray, positive: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    order = np.argsort(-score, kind="stable")
    hits, alarms = np.cumsum((weights * positive)[order]), np.cumsum((weights * ~positive)[order])
    last = np.r_[np.diff(score[order]) != 0, True]                       # where a threshold can lie
    if hits[-1] == 0 or alarms[-1] == 0:
        return np.full(len(grid), np.nan)
    return np.interp(grid, np.r_[0, alarms[last] / alarms[-1]], np.r_[0, hits[last] / hits[-1]])


def plot_reliability(curves: dict[str, list[tuple[float, float, int]]], title: str) -> Figure:
    """Share right against confidence, a line each ("before", "after" a temperature); the diagonal is honesty."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.5", lw=1, ls="--")
    for (name, points), colour, dash in zip(curves.items(), COLOURS, DASHES, strict=False):
        confidence, right, count = map(np.array, zip(*points, strict=True))
        axis.plot(confidence, right, ls=dash, color=colour, lw=2, label=name)
        axis.scatter(confidence, right, s=12 + 120 * count / count.sum(), color=colour)
    axis.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.01), title=title)
    axis.grid(alpha=0.3)
    axis.legend(loc="upper left")
    return figure


def plot_score_by_stage(stage: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Each patient's expected stage Σ_k k·p_k against the true class, stages in order; bars are medians."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    generator = np.random.default_rng(0)
    for k in range(len(class_names)):
        values = stage[labels == k]
        axis.scatter(k + generator.uniform(-0.18, 0.18, len(values)), values, s=18, color=COLOURS[k % len(COLOURS)],
                     edgecolor="black", lw=0.4)
        if len(values):
            axis.hlines(np.median(values), k - 0.3, k + 0.3, color="black", lw=2)
    axis.set_xticks(range(len(class_names)), class_names)
    axis.set(xlabel="true class", ylabel="expected stage", title=title)
    axis.grid(alpha=0.3, axis="y")
    return figure
