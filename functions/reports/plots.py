"""Results → matplotlib figures. Never shows, never saves."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from torch import Tensor, nn

from functions.evaluation.predictions import predict_image
from functions.reports.figure_text import Figure, as_written, short
from functions.runtime.errors import UserError, printable

# A letter that the font lacks is drawn as a box, which the figure shows; the CSV and the page have the letter.
warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")

# Okabe and Ito's colours: told apart by colour-blind readers, and by line style in black and white.
LINES = {"train": ("#0072B2", "-"), "val": ("#E69F00", "--"), "test": ("#009E73", ":")}


MAX_COUNTED = 40      # classes up to which a confusion matrix shows its counts; a larger one is coloured only
MAX_INCHES = 24           # inches: a figure of 1,000 classes must still be one that a file can hold


def make_title(name: str, stamps: Sequence[str]) -> str:
    """A run's name and, a line each, what must not be overlooked; long lines are broken."""
    return "\n".join(line for words in (name, *stamps) for line in wrap(printable(words), 44))


def plot_loss_curves(results: Mapping[str, Sequence], title: str = "", best_epoch: int | None = None) -> Figure:
    """Loss and accuracy against epoch, side by side; the best epoch is marked.

    `results` is a run's pickle: lists under {train, val, test}_{loss, acc}; their values are numbers or, in older ones,
    tensors of one element on any device, with or without a graph. `best_epoch` is the one the run kept (run.json names
    it); without it, that of the lowest validation loss. The older four keys (no val) draw too, and then nothing is
    marked, because choosing an epoch on the test set is no choice.
    Raises UserError where there are no training curves, where a value is no number, and for a best epoch there is not.
    """
    curves = _curves(results)
    epochs = len(curves["train_loss"])
    if best_epoch and not 1 <= best_epoch <= epochs:
        raise UserError(f"the best epoch is {best_epoch}, but the curves have {epochs} epochs: they are of two runs")
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    for axis, what, label in zip(figure.subplots(1, 2), ("loss", "acc"), ("loss", "accuracy"), strict=True):
        for split, (colour, style) in LINES.items():
            if (values := curves.get(f"{split}_{what}")) is not None:
                marker = "o" if len(values) == 1 else None
                axis.plot(range(1, len(values) + 1), values, style, color=colour, label=split, lw=2, marker=marker)
        if np.isfinite(curves.get("val_loss", [])).any():
            best = best_epoch or 1 + int(np.nanargmin(curves["val_loss"]))
            why = "kept by the run" if best_epoch else "lowest val loss"
            axis.axvline(best, color="0.5", lw=1)
            axis.plot(best, curves.get(f"val_{what}", [])[best - 1:best] or [np.nan], "o", color=LINES["val"][0], ms=8,
                      label=f"best epoch {best} ({why})")
        axis.set(xlabel="epoch", ylabel=label)
        axis.locator_params(axis="x", integer=True)
        if what == "acc":
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def _curves(results: Mapping[str, Sequence]) -> dict[str, list[float]]:
    """The curves that there are, as plain numbers."""
    names = [f"{split}_{what}" for split in LINES for what in ("loss", "acc") if f"{split}_{what}" in results]
    if missing := {"train_loss", "train_acc"} - set(names):
        raise UserError(f"the curves lack {min(missing)}: is this the pickle of a run?")
    return {name: [_number(value, name) for value in results[name]] for name in names}


def _number(value, name: str) -> float:
    """A number, a NumPy scalar or a tensor of one element (on any device, with or without a graph) as a float."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().tolist()
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        raise UserError(f"{name} holds {short(repr(value))}, which is not a number") from None


def plot_confusion_matrix(confusion: np.ndarray, class_names: Sequence[str], title: str = "",
                          few: Sequence[int] = ()) -> Figure:
    """Counts, truth down and prediction across, coloured by the share of each true class; of `few` counts alone."""
    confusion = np.asarray(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares[list(few)] = 0
    side = min(max(4.5, 2.5 + 0.9 * len(class_names)), MAX_INCHES)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion if len(class_names) <= MAX_COUNTED else np.zeros((0, 0))):
        colour = "white" if shares[row, column] > 0.5 else "black"
        share = "" if row in few else f"\n{shares[row, column]:.0%}"
        axis.text(column, row, f"{count:,}{share}", ha="center", va="center", color=colour)
    ticks = range(0, len(class_names), 1 + len(class_names) // (2 * MAX_COUNTED))
    names = [short(class_names[tick]) for tick in ticks]
    axis.set_xticks(ticks, names, rotation=30, ha="right")
    axis.set_yticks(ticks, names)
    axis.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, label="share of the true class", format=lambda value, _: f"{value:.0%}")
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def plot_prediction(image: np.ndarray, probabilities: Sequence[float], class_names: Sequence[str],
                    truth: str | None = None, title: str = "") -> Figure:
    """One slice (H, W) beside the probability of each class; the truth, where known, is named and hatched."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image, cmap="gray")
    left.set_axis_off()
    guess = short(class_names[int(np.argmax(probabilities))])
    left.set_title(f"predicted: {guess} ({max(probabilities):.0%})" + (f"\ntrue: {short(truth)}" if truth else ""))
    bars = right.barh(range(len(class_names)), probabilities, color=LINES["train"][0])
    right.set_yticks(range(len(class_names)), [short(name) for name in class_names])
    if truth in class_names:
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
    """Predicts one image file and draws it, as the model saw it, beside the class probabilities.

    `transform` turns the file into the model's input (C, H, W): `data_setup.loading.transforms.image_reader` makes it
    from the checkpoint's preprocessing, so that prediction and training cannot differ. `label` is the true class, if
    known; `title` is the place for the run's name and stamps.
    """
    image = transform(image_path)
    probabilities = predict_image(model, image)
    return plot_prediction(image.mean(dim=0).numpy(), probabilities.tolist(), class_names, label, title)
