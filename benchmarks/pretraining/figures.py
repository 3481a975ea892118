"""Figures: AUROC on real patients against the number of generated people, and against that of real training patients.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functions.cross_validation.pooled import Pooled
from functions.learning_curves.figure import COLOURS, MARKERS
from functions.reports.figure_text import Axes, Figure, as_written


class People(NamedTuple):
    """A network of generated people only: their number, the steps and the seed of its training, its AUROC."""

    people: int
    steps: int
    seed: int
    found: Pooled


def plot_people(networks: Sequence[People], four: float) -> Figure:
    """Zero-shot AUROC of each network with its interval over patients, and four numbers as a line."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.subplots()
    for number, steps in enumerate(sorted({one.steps for one in networks})):
        group = [one for one in networks if one.steps == steps]
        x = [one.people * (0.9 + 0.2 * number) * (1 + 0.06 * [other.seed for other in group if other.people
             == one.people].index(one.seed)) for one in group]                          # intervals side by side
        _errorbar(axis, x, [one.found for one in group], number, f"{steps:,} steps", line=False)
    axis.axhline(four, color="0.4", ls="--", lw=1, label="four numbers, cross-validated")
    _log_axis(axis, sorted({one.people for one in networks}), "generated people (points side by side: seeds)")
    axis.set_ylabel("AUROC of real patients, 95 % interval")
    return as_written(figure)


def plot_curve(curves: Mapping[str, Sequence[tuple[float, Pooled, float]]]) -> Figure:
    """Method → (training patients, AUROC of all patients together, mean AUROC within folds): a panel for each AUROC."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    together, within = figure.subplots(1, 2, sharey=True)
    for number, (name, points) in enumerate(curves.items()):
        x = np.array([patients for patients, _, _ in points])
        shift = 1 + 0.03 * (number - (len(curves) - 1) / 2)
        _errorbar(together, x * shift, [found for _, found, _ in points], number, name)
        within.plot(x, [inside for _, _, inside in points], **_style(number))
    ticks = sorted({round(patients) for points in curves.values() for patients, _, _ in points})
    for axis, title in ((together, "all patients together, 95 % interval"), (within, "mean within folds")):
        _log_axis(axis, ticks, "real training patients", legend=False)
        axis.set_title(title)
    together.set_ylabel("AUROC of real patients")
    figure.legend(fontsize="x-small", loc="outside lower center", ncols=3)
    return as_written(figure)


def _errorbar(axis: Axes, x, found: Sequence[Pooled], number: int, label: str, line: bool = True) -> None:
    ends = np.array([[one.value - one.low, one.high - one.value] for one in found]).T
    axis.errorbar(x, [one.value for one in found], np.maximum(ends, 0), elinewidth=1, capsize=2, label=label,
                  **_style(number) | ({} if line else {"ls": "none"}))


def _style(number: int) -> dict[str, Any]:
    """Colour and marker of a line; those that begin the colours anew are dashed, with open markers."""
    again = number >= len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "ms": 5, "lw": 1.5,
            "ls": "--" if again else "-", "mfc": "none" if again else None}


def _log_axis(axis: Axes, ticks: Sequence[int], label: str, legend: bool = True) -> None:
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.minorticks_off()
    axis.axhline(0.5, color="0.8", lw=1)
    axis.set_xlabel(label)
    axis.grid(alpha=0.3)
    if legend:
        axis.legend(fontsize="x-small")
