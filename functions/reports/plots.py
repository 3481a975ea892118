"""Matplotlib figures of results. Functions return figures; they neither show nor save them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from torch import Tensor, nn

from functions.evaluation.intervals import FEW
from functions.evaluation.predictions import predict_image
from functions.reports.figure_text import Axes, Figure, Rectangle, as_written, short
from functions.runtime.errors import UserError, printable

# A character missing from the font is drawn as a box; the CSV and the page contain the character.
warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")

# Okabe and Ito's colours, distinguishable for colour-blind readers; line styles differ for black and white.
LINES = {"train": ("#0072B2", "-"), "val": ("#D55E00", "--"), "test": ("#009E73", ":")}
LABELS = {"loss": "loss", "acc": "accuracy"}

MAX_COUNTED = 40       # maximum number of classes for which a confusion matrix shows counts
MAX_INCHES = 24        # maximum side of a figure


def make_title(name: str, caveats: Sequence[str]) -> str:
    """A title and the caveats, one per line; long lines are wrapped."""
    return "\n".join(line for text in (name, *caveats) for line in wrap(printable(text), 44))


def plot_loss_curves(results: Mapping[str, Sequence], title: str = "", best_epoch: int | None = None) -> Figure:
    """Loss and accuracy against epoch, side by side, with the best epoch marked.

    `results` is the pickle of a run: lists under {train, val, test}_{loss, acc}, whose values are numbers or, in older
    files, tensors of one element. `best_epoch` is the epoch selected by the run (see run.json); the default is that of
    the lowest validation loss. Without validation curves (older files) no epoch is marked, because an epoch must not be
    selected on the test set. Raises UserError if training curves are missing, a value is not a number, or the best
    epoch does not exist.
    """
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    curves, selected = _curves(results), _selected(results, best_epoch)
    for axis, metric in zip(figure.subplots(1, 2), LABELS, strict=True):
        _draw_curves(axis, curves, metric, selected)
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def plot_curve(results: Mapping[str, Sequence], metric: str, title: str = "", best_epoch: int | None = None) -> Figure:
    """One panel of `plot_loss_curves`: `metric` is loss or acc."""
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    _draw_curves(figure.subplots(), _curves(results), metric, _selected(results, best_epoch))
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def _selected(results: Mapping[str, Sequence], best_epoch: int | None) -> tuple[int, str] | None:
    """(the best epoch, the rule that selected it); None without finite validation losses."""
    curves = _curves(results)
    epochs = len(curves["train_loss"])
    if best_epoch and not 1 <= best_epoch <= epochs:
        raise UserError(f"the best epoch is {best_epoch}, but the curves have {epochs} epochs: they are of two runs")
    if not np.isfinite(curves.get("val_loss", [])).any():
        return None
    return (best_epoch, "selected by the run") if best_epoch else (
        1 + int(np.nanargmin(curves["val_loss"])), "lowest val loss")


def _draw_curves(axis: Axes, curves: dict[str, list[float]], metric: str, selected: tuple[int, str] | None) -> None:
    for split, (colour, style) in LINES.items():
        if (values := curves.get(f"{split}_{metric}")) is not None:
            marker = "o" if len(values) == 1 else None
            axis.plot(range(1, len(values) + 1), values, style, color=colour, label=split, lw=2, marker=marker)
    if selected:
        best, rule = selected
        axis.axvline(best, color="0.5", lw=1)
        axis.plot(best, curves.get(f"val_{metric}", [])[best - 1:best] or [np.nan], "o", color=LINES["val"][0], ms=8,
                  label=f"best epoch {best} ({rule})")
    axis.set(xlabel="epoch", ylabel=LABELS[metric])
    axis.locator_params(axis="x", integer=True)
    if metric == "acc":
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.grid(alpha=0.3)
    axis.legend()


def _curves(results: Mapping[str, Sequence]) -> dict[str, list[float]]:
    """The curves in `results` as lists of floats."""
    names = [f"{split}_{metric}" for split in LINES for metric in ("loss", "acc") if f"{split}_{metric}" in results]
    if missing := {"train_loss", "train_acc"} - set(names):
        raise UserError(f"the curves lack {min(missing)}: is this the pickle of a run?")
    return {name: [_number(value, name) for value in results[name]] for name in names}


def _number(value, name: str) -> float:
    """A number, a NumPy scalar or a tensor of one element (any device, with or without gradient) as a float."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().tolist()
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        raise UserError(f"{name} holds {short(repr(value))}, which is not a number") from None


def plot_confusion_matrix(confusion: np.ndarray, class_names: Sequence[str], title: str = "",
                          few: Sequence[int] = ()) -> Figure:
    """Confusion matrix: rows are true classes, coloured by the share of each row.

    The rows in `few`, of classes with fewer than FEW patients, are hatched and show counts only.
    """
    confusion, few = np.asarray(confusion), list(few)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares[few] = 0
    counted = len(class_names) <= MAX_COUNTED
    side = min(max(4.6, 1.8 + 0.9 * len(class_names)), MAX_INCHES)
    figure = Figure(figsize=(side if counted else side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in few:
        axis.add_patch(_hatched((-0.5, row - 0.5), len(class_names), 1))
    for (row, column), count in np.ndenumerate(confusion if counted else np.zeros((0, 0))):
        colour = "white" if shares[row, column] > 0.5 else "black"
        share = "" if row in few else f"\n{shares[row, column]:.0%}"
        frame = {"facecolor": "white", "edgecolor": "none", "pad": 2} if row in few else None
        axis.text(column, row, f"{count:,}{share}", ha="center", va="center", color=colour, bbox=frame)
    ticks = range(0, len(class_names), 1 + len(class_names) // (2 * MAX_COUNTED))
    names = [short(class_names[tick]) for tick in ticks]
    axis.set_xticks(ticks, names, rotation=30, ha="right")
    axis.set_yticks(ticks, names)
    axis.set(xlabel="predicted class", ylabel="true class")
    if not counted:
        figure.colorbar(image, label="share of the true class", format=lambda value, _: f"{value:.0%}")
    if few:
        figure.legend([_hatched((0, 0), 1, 1)], [f"fewer than {FEW} patients: counts only"], loc="outside lower center",
                      frameon=False)
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def _hatched(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, facecolor="0.95", edgecolor="0.55", hatch="///", lw=0)


def plot_prediction(image: np.ndarray, probabilities: Sequence[float], class_names: Sequence[str],
                    truth: str | None = None, title: str = "") -> Figure:
    """One slice (H, W) and the probability of each class; the true class, if known, is named and hatched."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image, cmap="gray")
    left.set_axis_off()
    predicted = short(class_names[int(np.argmax(probabilities))])
    left.set_title(f"predicted: {predicted} ({max(probabilities):.0%})" + (f"\ntrue: {short(truth)}" if truth else ""))
    bars = right.barh(range(len(class_names)), probabilities, color=LINES["train"][0])
    right.set_yticks(range(len(class_names)), [short(name) for name in class_names])
    if truth is not None and truth in class_names:
        bars[list(class_names).index(truth)].set(hatch="//", edgecolor="white")
    right.set(xlim=(0, 1), xlabel="probability")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.invert_yaxis()
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def pred_and_plot_image(
    model: nn.Module,
    image_path: str | Path,
    class_names: Sequence[str],
    transform: Callable[[str | Path], Tensor],
    label: str | None = None,
    title: str = "",
) -> Figure:
    """Predicts one image file and plots the model input and the class probabilities.

    `transform` maps the file to the model input (C, H, W); `data_setup.loading.transforms.image_reader` creates it from
    the checkpoint's preprocessing, so that prediction and training use the same. `label` is the true class, if known;
    `title` may hold the run's name and caveats.
    """
    image = transform(image_path)
    probabilities = predict_image(model, image)
    return plot_prediction(image.mean(dim=0).numpy(), probabilities.tolist(), class_names, label, title)
