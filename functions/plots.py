"""Results → matplotlib figures. Never shows, never saves."""

import warnings
from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# A letter that the font lacks is drawn as a box, which the figure shows; the CSV and the page have the letter.
warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
LONGEST_LABEL = 28      # letters of a class name in a figure

# Okabe and Ito's colours: told apart by colour-blind readers, and by line style in black and white.
LINES = {"train": ("#0072B2", "-"), "val": ("#E69F00", "--"), "test": ("#009E73", ":")}


def plain_text(name: str) -> str:
    """A class name as matplotlib shows it letter for letter, shortened where it is long: `$` starts no formula."""
    shown = name if len(name) <= LONGEST_LABEL else f"{name[:LONGEST_LABEL - 1]}…"
    return shown.replace("$", r"\$")


def make_title(name: str, stamps: Sequence[str]) -> str:
    """A run's name and, a line each, what must not be overlooked; long lines are broken."""
    return "\n".join(line for words in (name, *stamps) for line in wrap(words, 44))


def plot_loss_curves(results: Mapping[str, Sequence[float]], title: str = "", best_epoch: int | None = None) -> Figure:
    """Loss and accuracy against epoch, side by side; the best epoch is marked.

    `results` is a run's pickle: lists under {train, val, test}_{loss, acc}. `best_epoch` is the one the run kept
    (run.json names it); without it, that of the lowest validation loss. The older four keys (no val) draw too, and
    then nothing is marked, because choosing an epoch on the test set is no choice.
    """
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    epochs = np.arange(1, len(results["train_loss"]) + 1)
    for axis, what, label in zip(figure.subplots(1, 2), ("loss", "acc"), ("loss", "accuracy"), strict=True):
        for split, (colour, style) in LINES.items():
            if f"{split}_{what}" in results:
                marker = "o" if len(epochs) == 1 else None
                axis.plot(epochs, results[f"{split}_{what}"], style, color=colour, label=split, lw=2, marker=marker)
        if "val_loss" in results and len(epochs):
            best = best_epoch - 1 if best_epoch else int(np.argmin(results["val_loss"]))
            why = "kept by the run" if best_epoch else "lowest val loss"
            axis.axvline(epochs[best], color="0.5", lw=1)
            axis.plot(epochs[best], results[f"val_{what}"][best], "o", color=LINES["val"][0], ms=8,
                      label=f"best epoch {epochs[best]} ({why})")
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if what == "acc":
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title, parse_math=False, fontsize="medium")
    return figure


def plot_confusion_matrix(confusion: np.ndarray, class_names: Sequence[str], title: str = "",
                          few: Sequence[int] = ()) -> Figure:
    """Counts, truth down and prediction across, coloured by the share of each true class; of `few` counts alone."""
    confusion = np.asarray(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares[list(few)] = 0
    side = max(4.5, 2.5 + 0.9 * len(class_names))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        share = "" if row in few else f"\n{shares[row, column]:.0%}"
        axis.text(column, row, f"{count:,}{share}", ha="center", va="center", color=colour)
    ticks = range(len(class_names))
    labels = [plain_text(name) for name in class_names]
    axis.set_xticks(ticks, labels, rotation=30, ha="right")
    axis.set_yticks(ticks, labels)
    axis.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, label="share of the true class", format=lambda value, _: f"{value:.0%}")
    figure.suptitle(title, parse_math=False, fontsize="medium")
    return figure


def plot_prediction(image: np.ndarray, probabilities: Sequence[float], class_names: Sequence[str],
                    truth: str | None = None, title: str = "") -> Figure:
    """One slice (H, W) beside the probability of each class; the truth, where known, is named and hatched."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(image, cmap="gray")
    left.set_axis_off()
    guess = class_names[int(np.argmax(probabilities))]
    left.set_title(f"predicted: {guess} ({max(probabilities):.0%})" + (f"\ntrue: {truth}" if truth else ""),
                   parse_math=False)
    bars = right.barh(range(len(class_names)), probabilities, color=LINES["train"][0])
    right.set_yticks(range(len(class_names)), [plain_text(name) for name in class_names])
    if truth in class_names:
        bars[list(class_names).index(truth)].set(hatch="//", edgecolor="white")
    right.set(xlim=(0, 1), xlabel="probability")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.invert_yaxis()
    figure.suptitle(title, parse_math=False, fontsize="medium")
    return figure
