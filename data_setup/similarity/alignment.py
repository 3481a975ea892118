"""Alignment of brains to their principal axes (rotation, centre, size), so that copies can be compared."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from data_setup.similarity.workers import parallel_map

FILL = 0.5           # share of the output image that the brain covers
MIN_ELONGATION = 1.25         # variance ratio of the axes, below which there is no main axis
MIN_PIXELS = 50          # foreground pixels, below which there is no brain
BLOCK_PIXELS = 500_000   # per block


class Axes(NamedTuple):
    """Position of the brain in each image, (n,) each: centre (pixels), angle of the long axis (radians), area (0: no
    brain), and elongation (long² / short²).
    """

    y: np.ndarray
    x: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    elongation: np.ndarray

    @property
    def has_main_axis(self) -> bool:
        """Whether the brains of the set have a main axis (median elongation above MIN_ELONGATION)."""
        return bool((self.area > 0).any()) and float(np.median(self.elongation[self.area > 0])) > MIN_ELONGATION

    def select(self, rows: np.ndarray) -> "Axes":
        """The axes of some images."""
        return Axes(*(values[rows] for values in self))


def find_axes(images: Sequence[np.ndarray]) -> Axes:
    """The axes of the foreground of gray images (H, W) of any sizes.

    The mask is everything above border + 0.12 (99th percentile - border), so it does not depend on brightness and
    contrast.
    """
    found = np.zeros((5, len(images)))

    def one(rows: list[int]) -> None:
        found[:, rows] = _moments(np.stack([images[row] for row in rows]))

    parallel_map(one, _blocks(images))
    return Axes(*found)


def _blocks(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Rows of images of one size, about BLOCK_PIXELS per block."""
    sizes = defaultdict(list)
    for row, image in enumerate(images):
        sizes[image.shape].append(row)
    for (height, width), rows in sizes.items():
        block_size = max(1, BLOCK_PIXELS // (height * width))
        for start in range(0, len(rows), block_size):
            yield rows[start:start + block_size]


def _moments(block: np.ndarray) -> np.ndarray:
    """(b, H, W) → (5, b): centre, angle, area and ratio of the axes from the second moments of the mask."""
    n, height, width = block.shape
    border = np.median(np.concatenate([block[:, 0], block[:, -1], block[:, :, 0], block[:, :, -1]], axis=1), axis=1)
    place = round(0.99 * (height * width - 1))
    top = np.partition(block.reshape(n, -1), place, axis=1)[:, place]
    mask = block > (border + np.maximum(6.0, 0.12 * (top - border)))[:, None, None]
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    powers = np.stack([np.ones(width), x, x * x], axis=1).astype(np.float32)
    across = (mask.reshape(-1, width).astype(np.float32) @ powers).reshape(n, height, 3).astype(float)
    area = across[:, :, 0].sum(axis=1)
    share = 1 / np.maximum(area, 1)
    my, mx = across[:, :, 0] @ y * share, across[:, :, 1].sum(axis=1) * share
    yy, xx = across[:, :, 0] @ (y * y) * share - my**2, across[:, :, 2].sum(axis=1) * share - mx**2
    xy = across[:, :, 1] @ y * share - my * mx
    spread, middle = np.hypot((yy - xx) / 2, xy), (yy + xx) / 2
    elongation = (middle + spread) / np.maximum(middle - spread, 1e-9)
    return np.stack([my + (height - 1) / 2, mx + (width - 1) / 2, 0.5 * np.arctan2(2 * xy, yy - xx),
                     np.where(area < MIN_PIXELS, 0, area), elongation])


def upright(images: Sequence[np.ndarray], axes: Axes, size: tuple[int, int], rotate: bool) -> np.ndarray:
    """Gray images (H, W) → (n, h, w) float32, each brain on its own axes; zeros where there is no brain.

    Scaled by the square root of the area, and smoothed over as many input pixels as one output pixel covers.
    """
    aligned = np.zeros((len(images), *size), np.float32)
    step = np.sqrt(axes.area / (FILL * size[0] * size[1]))               # input pixels per output pixel
    for rows in _blocks(images):
        rows, block = np.array(rows), np.stack([images[row] for row in rows])
        widths = np.where(axes.area[rows] > 0, 2 * (step[rows] / 2).astype(int) + 1, 0)  # odd: no shift
        for width in set(widths.tolist()) - {0}:
            same_width = rows[widths == width]
            smooth = torch.from_numpy(block[widths == width]).float()[:, None]
            if width > 1:
                smooth = functional.pad(smooth, [width // 2] * 4, mode="replicate")
                smooth = functional.avg_pool2d(smooth, width, stride=1)
            grid = _grid(axes.select(same_width), step[same_width], block.shape[1:], size, rotate)
            moved = functional.grid_sample(smooth, grid, padding_mode="border", align_corners=True)
            aligned[same_width] = moved[:, 0].numpy()
    return aligned


def _grid(axes: Axes, step: np.ndarray, shape: tuple[int, int], size: tuple[int, int], rotate: bool) -> torch.Tensor:
    """(b, h, w, 2): position of each output pixel in its image, x then y, in torch's units of -1 to 1."""
    y, x = (axis.astype(np.float32)[None] - (side - 1) / 2 for axis, side in zip(np.mgrid[:size[0], :size[1]], size,
                                                                                 strict=True))
    cos, sin = ((step * f(axes.angle if rotate else 0 * axes.angle))[:, None, None] for f in (np.cos, np.sin))
    down, right = axes.y[:, None, None] + cos * y - sin * x, axes.x[:, None, None] + sin * y + cos * x
    grid = [2 * grid / max(side - 1, 1) - 1 for grid, side in ((right, shape[1]), (down, shape[0]))]
    return torch.from_numpy(np.stack(grid, axis=-1).astype(np.float32))


def align(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Gray images (H, W) of any sizes → (n, h·w) float32, each brain on its own axes, mean 0 and norm 1.

    Rotated only if the brains of the set have a main axis. An image without a brain is a row of zeros.
    """
    axes = find_axes(images)
    return normalise_rows(upright(images, axes, size, axes.has_main_axis).reshape(len(images), size[0] * size[1]))


def normalise_rows(x: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and norm 1; a constant row becomes zeros."""
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
