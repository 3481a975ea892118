"""The paper's Figures 6 and 7 of a trained network."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
import torch
from torch import Tensor, nn

from functions.explain.attention import network_of
from functions.explain.inspection import (
    attention_distance,
    patch_distances,
    position_similarity,
    principal_filters,
)
from functions.explain.overlay import WARNING, draw_overlay, gray_levels
from functions.reports.figure_text import Axes, Figure, as_written
from functions.runtime.errors import printable
from models.hybrid import HybridViT

COLUMN = 1.55        # inches per image of Figure 6
TEXT = 8             # points
GRIDS = 7            # position embeddings shown along a side of Figure 7
CURVE = "#0072B2"


def figure_6(images: Tensor, captions: Sequence[str], maps: Mapping[str, Tensor],
             caveats: Mapping[str, Sequence[str]], smooth: bool = True) -> Figure:
    """Images (n, C, H, W) in the first row, below them a row of overlays for each method in `maps`.

    `maps` holds maps (n, rows, columns), `caveats` a line for each ("" if it passes its tests). Every map is coloured
    from 0 to its own largest share.
    """
    height = COLUMN * images.shape[-2] / images.shape[-1]
    figure = Figure(figsize=(COLUMN * len(images) + 0.3, (height + 0.4) * (1 + len(maps))), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)      # type: ignore[call-arg]
    axes = figure.subplots(1 + len(maps), len(images), squeeze=False)
    for axis, image, caption in zip(axes[0], images, captions, strict=True):
        axis.imshow(gray_levels(image), interpolation="nearest")
        _bare(axis)
        axis.set_xlabel("\n".join(map(printable, caption.splitlines())), fontsize=TEXT)
    for row, (method, shares) in zip(axes[1:], maps.items(), strict=True):
        for axis, image, one, caveat in zip(row, images, shares, caveats[method], strict=True):
            draw_overlay(axis, image, one, smooth=smooth)
            lines = wrap(printable(caveat), 24) or ["passes all tests"]
            axis.set_xlabel("\n".join(lines), fontsize=TEXT, color=WARNING if caveat else "black")
    for axis, name in zip(axes[:, 0], ("slice", *maps), strict=True):
        axis.set_ylabel(name, fontsize=TEXT + 2)
    return as_written(figure)


def figure_7(model: nn.Module, images: Tensor, title: str = "") -> Figure:
    """Filters of the patch embedding, similarity of position embeddings, mean attention distance by head and depth."""
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    left, centre, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.1))
    draw_filters(left, model)
    draw_positions(figure, centre, position_similarity(model))
    draw_distances(right, attention_distance(model, images), float(patch_distances(model).mean()))
    figure.suptitle(title, fontsize="medium")
    return as_written(figure)


def draw_filters(axis: Axes, model: nn.Module) -> None:
    """The principal components of the filters, each from its smallest value (black) to its largest (white)."""
    components, shares = principal_filters(model)
    across = 7 if len(components) > 7 else len(components)
    tiles = [np.pad(gray_levels(one), ((0, 1), (0, 1), (0, 0)), constant_values=1.0) for one in components]
    tiles += [np.ones_like(tiles[0])] * (-len(tiles) % across)
    axis.imshow(np.concatenate([np.concatenate(tiles[i:i + across], axis=1)
                                for i in range(0, len(tiles), across)]), interpolation="nearest")
    _bare(axis)
    what = "the stem's filters" if isinstance(network_of(model), HybridViT) else "the patch-embedding filters"
    axis.set_title(f"First {len(components)} principal components\nof {what}", fontsize="medium")
    axis.set_xlabel(f"{float(shares.sum()):.0%} of their variance", fontsize="small")


def draw_positions(figure: Figure, axis: Axes, similarity: Tensor) -> None:
    """One small map per patch, at its place: the similarity of its position embedding to those of all patches."""
    rows, columns = similarity.shape[:2]
    down, across = (np.unique(np.linspace(0, count - 1, min(count, GRIDS)).round().astype(int))
                    for count in (rows, columns))
    whole = np.full((len(down) * (rows + 1) - 1, len(across) * (columns + 1) - 1), np.nan)
    for i, row in enumerate(down):
        for j, column in enumerate(across):
            top, left = i * (rows + 1), j * (columns + 1)
            whole[top:top + rows, left:left + columns] = similarity[row, column].numpy()
    drawn = axis.imshow(whole, cmap="viridis", vmin=min(0.0, float(similarity.min())), vmax=1,
                        interpolation="nearest")
    axis.set_xticks([j * (columns + 1) + (columns - 1) / 2 for j in range(len(across))], across + 1)
    axis.set_yticks([i * (rows + 1) + (rows - 1) / 2 for i in range(len(down))], down + 1)
    axis.tick_params(length=0, labelsize="small")
    axis.spines[:].set_visible(False)
    axis.set(xlabel="patch column", ylabel="patch row")
    axis.set_title("Position embedding similarity", fontsize="medium")
    figure.colorbar(drawn, ax=axis, label="cosine similarity", shrink=0.8)


def draw_distances(axis: Axes, distances: Tensor, uniform: float) -> None:
    """One point per head and layer; the line is the distance of uniform attention."""
    layers, heads = distances.shape
    axis.axhline(uniform, color="0.5", ls="--", lw=1, label="uniform attention")
    axis.scatter(torch.arange(1, layers + 1).repeat_interleave(heads), distances.flatten(), s=22, color=CURVE,
                 alpha=0.7, edgecolor="none", label="one head")
    top = 1.15 * max(uniform, float(distances.max()))
    axis.set(xlabel="layer", ylabel="mean attention distance (pixels)", ylim=(0, top))
    axis.locator_params(axis="x", integer=True)
    axis.set_title("Mean attention distance", fontsize="medium")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="lower right")


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
