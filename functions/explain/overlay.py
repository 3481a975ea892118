"""A map drawn over its image: as an array of pixels, or as a figure with a colour bar and a caption."""

from textwrap import wrap

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from functions.reports.figure_text import Axes, Figure, as_written, mpl
from functions.runtime.errors import printable

COLOURS = mpl.colors.ListedColormap(mpl.colormaps["inferno"](np.linspace(0.4, 1, 256)))    # red to light yellow
OPACITY = 0.9              # of the largest share; a share of 0 leaves the image visible
DIMMED = 0.7               # brightness of the image below, so that colours stand out on white matter
WARNING = "#B00020"
INCHES = 4.0               # the image's longer side in a figure


def upsample(shares: Tensor, size: tuple[int, int], smooth: bool = True) -> Tensor:
    """A map (rows, columns) at the size (H, W) of its image: bilinear between patch centres, or one colour per patch.

    Centres of patches stay where they are (align_corners=False), so a lit patch lights up in its place.
    """
    mode = {"mode": "bilinear", "align_corners": False} if smooth else {"mode": "nearest"}
    return F.interpolate(shares[None, None].float(), size, **mode)[0, 0]         # type: ignore[arg-type]


def gray_levels(image: Tensor) -> np.ndarray:
    """An image (C, H, W), normalised or not, as (H, W, 3) in 0..1, from its darkest value to its brightest."""
    pixels = image.detach().float().cpu()
    low, high = pixels.min(), pixels.max()
    pixels = (pixels - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()


def overlay(image: Tensor, shares: Tensor, smooth: bool = True, largest: float | None = None) -> np.ndarray:
    """The image (C, H, W), dimmed, with its map (rows, columns) in colour over it: (H, W, 3), uint8.

    Colour and opacity grow with the share, from 0 to `largest` (default: the map's own maximum).
    """
    values = upsample(shares.detach().cpu(), (image.shape[-2], image.shape[-1]), smooth).numpy()
    top = float(shares.max()) if largest is None else largest
    strength = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    alpha = OPACITY * strength[..., None]
    mixed = (1 - alpha) * DIMMED * gray_levels(image) + alpha * COLOURS(strength)[..., :3]
    return np.round(255 * mixed).astype(np.uint8)


def draw_overlay(axis: Axes, image: Tensor, shares: Tensor, caption: str = "", caveat: str = "",
                 smooth: bool = True) -> None:
    """Draws the overlay on an axis, with the caption and, in red, the caveat below it."""
    axis.imshow(overlay(image, shares, smooth), interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    lines = wrap(printable(caption), 44)
    axis.set_xlabel("\n".join(lines), fontsize="small")
    if caveat:
        axis.annotate("\n".join(wrap(printable(caveat), 44)), (0.5, 0), (0, -4 - 11 * len(lines)), color=WARNING,
                      xycoords="axes fraction", textcoords="offset points", ha="center", va="top", fontsize="small")


def overlay_figure(image: Tensor, shares: Tensor, caption: str = "", caveat: str = "", smooth: bool = True,
                   colour_bar: bool = True) -> Figure:
    """A figure of the overlay, with the caption (class, probability, method) and the caveat below it.

    `caveat` is that of `functions.explain.faithfulness.Faithfulness`: a map that fails says so on the picture. The
    colour bar shows the share of one patch.
    """
    height, width = image.shape[-2:]
    scale = INCHES / max(height, width)
    figure = Figure(figsize=(max(scale * width, 2.6) + 0.9 * colour_bar, scale * height + 0.7), layout="constrained")
    axis = figure.subplots()
    draw_overlay(axis, image, shares, caption, caveat, smooth)
    if colour_bar:
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, float(shares.max()) or 1.0), COLOURS)
        beside = axis.inset_axes((1.03, 0, 0.05, 1))                             # as high as the image
        figure.colorbar(colours, cax=beside, label="share of one patch", format=lambda value, _: f"{value:.1%}")
    return as_written(figure)
