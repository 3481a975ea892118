"""Each brain brought to its own axes: turned upright, centred, at one size, so that copies of it can be compared."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy import ndimage

FILL = 0.5           # of the small picture that the brain's area covers
ROUND = 1.25         # ratio of the variances along the two axes, below which a brain has no main axis to turn by


class Axes(NamedTuple):
    """Where a brain lies in its picture: centre (pixels), angle of its long axis (radians), area, long² / short²."""

    y: float
    x: float
    angle: float
    area: float
    length: float


def find_axes(image: np.ndarray) -> Axes | None:
    """The axes of what is brighter than the border in a gray picture (H, W); None if that is less than 50 pixels.

    The mask is everything above border + 0.12 (99th percentile - border), so brightness and contrast do not matter.
    """
    border = float(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))
    top = float(np.percentile(image, 99))
    ys, xs = np.nonzero(image > border + max(6.0, 0.12 * (top - border)))
    if len(ys) < 50:
        return None
    y, x = ys.mean(), xs.mean()
    yy, xx, xy = ((ys - y) ** 2).mean(), ((xs - x) ** 2).mean(), ((ys - y) * (xs - x)).mean()
    spread = np.hypot((yy - xx) / 2, xy)
    middle = (yy + xx) / 2
    return Axes(y, x, 0.5 * np.arctan2(2 * xy, yy - xx), len(ys), (middle + spread) / max(middle - spread, 1e-9))


def align(images: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Gray pictures (H, W), of any sizes → (n, h·w) float32, each brain on its own axes, mean 0 and norm 1.

    Turned only if the brains of the set are long enough to have a main axis (median ratio above ROUND); scaled by the
    root of the area. A picture without a brain is a row of zeros.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(find_axes, images))
        lengths = [axes.length for axes in found if axes]
        turn = bool(lengths) and float(np.median(lengths)) > ROUND
        rows = pool.map(lambda pair: _resample(*pair, size, turn), zip(images, found, strict=True))
        x = np.stack(list(rows)) if len(images) else np.zeros((0, size[0] * size[1]), np.float32)
    x -= x.mean(axis=1, keepdims=True)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def _resample(image: np.ndarray, axes: Axes | None, size: tuple[int, int], turn: bool) -> np.ndarray:
    height, width = size
    if axes is None:
        return np.zeros(height * width, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    step = np.sqrt(axes.area / (FILL * height * width))                  # pixels that one small pixel stands for
    cos, sin = (np.cos(axes.angle), np.sin(axes.angle)) if turn else (1.0, 0.0)
    smooth = ndimage.uniform_filter(image.astype(np.float32), 2 * int(step / 2) + 1)    # odd, so that nothing moves
    places = [axes.y + step * (cos * y - sin * x), axes.x + step * (sin * y + cos * x)]
    return ndimage.map_coordinates(smooth, places, order=1, mode="nearest").ravel()
