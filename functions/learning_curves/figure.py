"""Learning curves: AUROC against the number of training patients, with intervals over patients."""

import numpy as np

from functions.cross_validation.out_of_fold import scores
from functions.learning_curves.methods import METHODS
from functions.learning_curves.verdicts import Curves
from functions.reports.figure_text import Axes, Figure, as_written

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")       # Okabe and Ito
MARKERS = "osD^vP"
REFERENCE = "four_numbers"                                                          # drawn in every panel


def panel_of(method: str) -> str:
    """The title of a method's panel."""
    kind = METHODS[method]
    return "pretrained" if kind.needs else "networks from scratch" if kind.factor else "without a network"


def plot_learning_curves(curves: Curves, title: str = "") -> Figure:
    """One panel each for networks from scratch, pretrained networks and methods without a network, where there are any.
    """
    methods = list(dict.fromkeys(method for method, _ in curves))
    panels = list(dict.fromkeys(map(panel_of, [name for name in METHODS if name in methods])))[::-1]
    figure = Figure(figsize=(4.4 * len(panels), 5), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        own = [method for method in methods if panel_of(method) == panel]
        if REFERENCE in methods and REFERENCE not in own:
            _draw(axis, curves, REFERENCE, "0.6", "x", 1.0)
        for number, method in enumerate(own):
            shift = 1 + 0.03 * (number - (len(own) - 1) / 2)             # so that intervals do not cover each other
            _draw(axis, curves, method, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], shift)
        _label(axis, curves, panel)
    axes[0].set_ylabel("AUROC of patients, 95 % interval")
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def _draw(axis: Axes, curves: Curves, method: str, colour: str, marker: str, shift: float) -> None:
    points = sorted((curve.patients, next(iter(scores(curve.found).values()))) for (name, _), curve in curves.items()
                    if name == method)
    x, value = np.array([patients for patients, _ in points]), np.array([score.value for _, score in points])
    ends = np.array([[score.value - score.low, score.high - score.value] for _, score in points]).T
    axis.errorbar(x * shift, value, np.maximum(ends, 0), color=colour, marker=marker, ms=5, lw=1.5, elinewidth=1,
                  capsize=2, label=METHODS[method].title)


def _label(axis: Axes, curves: Curves, panel: str) -> None:
    axis.set_xscale("log")
    ticks = sorted({round(curve.patients) for curve in curves.values()})
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.axhline(0.5, color="0.8", lw=1)
    axis.set(xlabel="training patients", title=panel)
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.14))
