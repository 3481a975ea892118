"""Each brain brought to its own axes: turned upright, centred, at one size, so that copies of it can be compared."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from data_setup.similarity.workers import spread

FILL = 0.5           # of the small picture that the brain's area covers
ROUND = 1.25         # ratio of the variances along the two axes, below which a brain has no main axis to turn by
FEWEST = 50          # bright pixels, below which there is no brain
PIXELS = 500_000   # worked on at once


class Axes(NamedTuple):
    """Where brains lie in their pictures, (n,) each: centre (pixels), angle of the long axis (radians), area (0: none),
    long² / short².
    """

    y: np.ndarray
    x: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    length: np.ndarray

    @property
    def turned(self) -> bool:
        """Whether the brains of the set are long enough to have a main axis (median ratio above ROUND)."""
        return bool((self.area > 0).any()) and float(np.median(self.length[self.area > 0])) > ROUND

    def of(self, rows: np.ndarray) -> "Axes":
        """Those of some pictures."""
        return Axes(*(values[rows] for values in self))


def find_axes(images: Sequence[np.ndarray]) -> Axes:
    """The axes of what is brighter than the border in gray pictures (H, W) of any sizes.

    The mask is everything above border + 0.12 (99th percentile - border), so brightness and contrast do not matter.
    """
    found = np.zeros((5, len(images)))

    def one(rows: list[int]) -> None:
        found[:, rows] = _moments(np.stack([images[row] for row in rows]))

    spread(one, _blocks(images))
    return Axes(*found)


def _blocks(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Rows of pictures of one size, some PIXELS at a time."""
    sizes = defaultdict(list)
    for row, image in enumerate(images):
        sizes[image.shape].append(row)
    for (height, width), rows in sizes.items():
        many = max(1, PIXELS // (height * width))
        for start in range(0, len(rows), many):
            yield rows[start:start + many]


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
    length = (middle + spread) / np.maximum(middle - spread, 1e-9)
    return np.stack([my + (height - 1) / 2, mx + (width - 1) / 2, 0.5 * np.arctan2(2 * xy, yy - xx),
                     np.where(area < FEWEST, 0, area), length])


def upright(images: Sequence[np.ndarray], axes: Axes, size: tuple[int, int], turn: bool) -> np.ndarray:
    """Gray pictures (H, W) → (n, h, w) float32, each brain on its own axes, zeros where there is none.

    Scaled by the root of the area; smoothed over as many pixels as one small pixel stands for.
    """
    pictures = np.zeros((len(images), *size), np.float32)
    step = np.sqrt(axes.area / (FILL * size[0] * size[1]))               # pixels that one small pixel stands for
    for rows in _blocks(images):
        rows, block = np.array(rows), np.stack([images[row] for row in rows])
        widths = np.where(axes.area[rows] > 0, 2 * (step[rows] / 2).astype(int) + 1, 0)  # odd, so that nothing moves
        for width in set(widths.tolist()) - {0}:
            mine = rows[widths == width]
            smooth = torch.from_numpy(block[widths == width]).float()[:, None]
            if width > 1:
                smooth = functional.pad(smooth, [width // 2] * 4, mode="replicate")
                smooth = functional.avg_pool2d(smooth, width, stride=1)
            places = _places(axes.of(mine), step[mine], block.shape[1:], size, turn)
            moved = functional.grid_sample(smooth, places, padding_mode="border", align_corners=True)
            pictures[mine] = moved[:, 0].numpy()
    return pictures


def _places(axes: Axes, step: np.ndarray, shape: tuple[int, int], size: tuple[int, int], turn: bool) -> torch.Tensor:
    """(b, h, w, 2): where each small pixel lies in its picture, x then y, in torch's units of -1 to 1."""
    y, x = (axis.astype(np.float32)[None] - (side - 1) / 2 for axis, side in zip(np.mgrid[:size[0], :size[1]], size,
                                                                                 strict=True))
    cos, sin = ((step * f(axes.angle if turn else 0 * axes.angle))[:, None, None] for f in (np.cos, np.sin))
    down, right = axes.y[:, None, None] + cos * y - sin * x, axes.x[:, None, None] + sin * y + cos * x
    places = [2 * places / max(side - 1, 1) - 1 for places, side in ((right, shape[1]), (down, shape[0]))]
    return torch.from_numpy(np.stack(places, axis=-1).astype(np.float32))


def align(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Gray pictures (H, W), of any sizes → (n, h·w) float32, each brain on its own axes, mean 0 and norm 1.

    Turned only if the brains of the set have a main axis. A picture without a brain is a row of zeros.
    """
    axes = find_axes(images)
    return unit(upright(images, axes, size, axes.turned).reshape(len(images), size[0] * size[1]))


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and norm 1, of a flat one zeros."""
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
