"""What a file tells without its brain: how it was stored, framed, named, and what its finest detail is made of."""

import os
import re
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from data_setup.images.read import open_image

OF_FILE = ("format, mode and JPEG tables", "dimensions", "name")              # disease cannot show in these
OF_HEAD = ("spectrum", "upsampling grid", "noise", "grey levels")             # anatomy shows in these
BANDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8)         # of the spectrum, cycles a pixel
MOST = 1024                                          # pixels a side: of a larger image its middle tells as much
FEW = 20                                             # pixels, of which nothing can be said


def traces(path: str | Path, gray: np.ndarray) -> dict[str, list[float]]:
    """What a file tells without its brain, by kind; `gray` is its picture (H, W) uint8."""
    with open_image(path) as image:
        tables = getattr(image, "quantization", None) or {}
        quality = [float(sum(table)) for table in tables.values()][:2]
        mode, kind, frame = image.mode, image.format or "", image.size
    border = np.concatenate([gray[:2].ravel(), gray[-2:].ravel(), gray[:, :2].ravel(), gray[:, -2:].ravel()])
    pixels, gray = gray.size, _middle(gray)
    levels = np.unique(gray)
    bands, grid = _spectrum(gray)
    stem = Path(path).stem
    return {
        "file size": [float(os.path.getsize(path)), os.path.getsize(path) / pixels],
        "format, mode and JPEG tables": [float(hash_of(kind)), float(hash_of(mode)), *(quality + [0.0, 0.0])[:2]],
        "dimensions": [float(frame[0]), float(frame[1])],
        "border": [float(border.mean()), float(border.std()), float((border > 0).mean())],
        "background noise": [float((gray[gray < 8] > 0).mean()) if (gray < 8).any() else -1.0],
        "spectrum": bands,
        "upsampling grid": [grid],
        "noise": _noise(gray.astype(np.float32)),
        "grey levels": [len(levels) / (int(levels[-1]) - int(levels[0]) + 1)],      # below 1: stretched, gaps were left
        "name": [float(hash_of(re.sub(r"\d+", "#", stem))), float(len(stem))],
    }


def _middle(gray: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - MOST) // 2) for side in gray.shape)
    return gray[top:top + MOST, left:left + MOST]


def _spectrum(gray: np.ndarray) -> tuple[list[float], float]:
    """Log power a frequency in each of BANDS, and log power where every other pixel repeats; both of the whole's."""
    height, width = (max(side // 2 * 2, 1) for side in gray.shape)
    even = gray[:height, :width].astype(float)
    power = np.abs(np.fft.fft2(even - even.mean())) ** 2
    power /= power.sum() + 1e-9
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    band = np.digitize(radius.ravel(), BANDS)
    sums, counts = (np.bincount(band, weights, len(BANDS) + 1)[1:-1] for weights in (power.ravel(), None))
    grid = power[height // 2, width // 2] + power[height // 2, 0] + power[0, width // 2]
    return np.log(sums / np.maximum(counts, 1) + 1e-12).tolist(), float(np.log(grid + 1e-12))


def _noise(gray: np.ndarray) -> list[float]:
    """What a 3 x 3 mean leaves of the flatter half of the head: log of its deviation and of its kurtosis, and the
    correlation of pixels one and two apart; zeros where nothing can be said."""
    left = gray - uniform_filter(gray, 3)
    rough = uniform_filter(left**2, 5)
    head = gray > 0.15 * gray.max()
    flat = head & (rough <= np.median(rough[head])) if head.any() else head
    values = left[flat]
    if len(values) < FEW or not values.std() > 0:
        return [0.0] * 4
    kurtosis = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    apart = []
    for lag in (1, 2):
        first, second = left[:, :-lag][flat[:, :-lag]], left[:, lag:][flat[:, :-lag]]
        deviations = first.std() * second.std() if len(first) else 0.0
        covariance = np.mean((first - first.mean()) * (second - second.mean())) if deviations > 0 else 0.0
        apart.append(float(covariance / deviations) if deviations > 0 else 0.0)
    return [float(np.log(values.std())), float(np.log(kurtosis)), *apart]


def hash_of(text: str) -> int:
    """A small number for a text, the same on every machine."""
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 9973
