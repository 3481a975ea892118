"""Figures of the answers to clinical questions: precision-recall, calibration with its band, decision curve."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import precision_recall_curve

from functions.evaluation.clinical.results import Clinical, Recalibration
from functions.evaluation.predictions import Predictions
from functions.evaluation.stages import healthy_stage
from functions.reports.clinical.text import text
from functions.reports.evaluation_plots import COLOURS, Figures
from functions.reports.figure_text import Axes, Figure, as_written
from functions.reports.plots import make_title

LOWEST = -0.1      # of the net benefit that is drawn


def clinical_figures(clinical: Clinical, predictions: Predictions, caveats: Sequence[str]) -> Figures:
    """File name → (figure, description); without the curves that `clinical` does not have."""
    made: Figures = {}
    patients = len(predictions.rows("patient")[1])
    if clinical.average_precision:
        title = make_title(f"Precision-recall of {patients:,} test patients", caveats)
        made["precision_recall.png"] = (plot_precision_recall(clinical, predictions, title),
                                        "Precision (PPV) and recall (sensitivity) of diseased or not, of these "
                                        "patients")
    if fitted := clinical.recalibration:
        title = make_title(f"Calibration of {patients:,} test patients", caveats)
        band = "" if np.isnan(fitted.curve[0][2]) else ", with its pointwise 95 % band"
        made["calibration.png"] = (plot_calibration(fitted, title),
                                   "Share of diseased patients by predicted probability: logistic "
                                   f"recalibration{band}; squares: fifths of the patients, with 95 % intervals")
    if clinical.net_benefit:
        title = make_title(f"Decision curve of {patients:,} test patients", caveats)
        made["decision_curve.png"] = (plot_decision_curve(clinical.net_benefit, title),
                                      "Net benefit of treating patients from a probability of disease on, against "
                                      "treating all or none")
    return made


def plot_precision_recall(clinical: Clinical, predictions: Predictions, title: str) -> Figure:
    """Precision over recall as steps, beside the precision without information, the share of diseased patients."""
    p, labels, _ = predictions.rows("patient")
    healthy, found = healthy_stage(predictions.class_names), clinical.average_precision
    assert found
    precision, recall, _ = precision_recall_curve(labels != healthy, 1 - p[:, healthy])
    figure, axis = _square()
    axis.step(recall, precision, where="post", color=COLOURS[0], lw=2.4,
              label=f"average precision {text(found)}")
    axis.axhline(clinical.prevalence, color="0.4", lw=1, ls=(0, (2, 3)),
                 label=f"without information: {clinical.prevalence:.3f}")
    return _finish(figure, axis, title, "recall (sensitivity)", "precision (PPV)")


def plot_calibration(fitted: Recalibration, title: str) -> Figure:
    """The recalibration curve with its band, and the share of diseased patients in groups with Wilson intervals."""
    figure, axis = _square()
    axis.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":", label="perfect calibration")
    p, curve, low, high = np.array(fitted.curve).T
    if np.isfinite(low).all():
        axis.fill_between(p, low, high, color=COLOURS[0], alpha=0.2, lw=0)
    axis.plot(p, curve, color=COLOURS[0], lw=2.4,
              label=f"slope {text(fitted.slope)}\nintercept {text(fitted.in_the_large)}")
    mean, share, low, high, _ = np.array(fitted.groups).T
    axis.errorbar(mean, share, yerr=[share - low, high - share], fmt="s", ms=5, color=COLOURS[1], lw=1, capsize=2)
    return _finish(figure, axis, title, "predicted probability of disease", "share of diseased patients")


def plot_decision_curve(net_benefit: Sequence[Sequence[float]], title: str) -> Figure:
    """Net benefit over the threshold probability, from LOWEST on."""
    threshold, network, everybody = np.array(net_benefit).T
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(threshold, network, color=COLOURS[0], lw=2.4, label="treat by the network's probability")
    axis.plot(threshold, everybody, color=COLOURS[1], lw=1.4, ls="--", label="treat all")
    axis.axhline(0, color="0.4", lw=1, ls=":", label="treat none")
    axis.set(xlim=(0, 1), ylim=(LOWEST, max(*network, *everybody, 0.1) * 1.05))
    return _finish(figure, axis, title, "probability from which one would treat", "net benefit per patient")


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure, axis


def _finish(figure: Figure, axis: Axes, title: str, x: str, y: str) -> Figure:
    axis.set(xlabel=x, ylabel=y)
    axis.grid(alpha=0.3)
    figure.suptitle(title, fontsize="medium")
    figure.legend(loc="outside lower center", frameon=False)
    return as_written(figure)
