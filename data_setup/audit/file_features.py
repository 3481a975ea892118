"""Features of an image file that do not depend on the disease: storage, frame, name, and the origin of its finest
detail.
"""

import os
import re
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from data_setup.images.read import open_image

FILE_FEATURES = ("format, mode and JPEG tables", "dimensions", "name")              # independent of anatomy
ANATOMY_FEATURES = ("spectrum", "upsampling grid", "noise", "grey levels")             # depend on anatomy
BANDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8)         # band edges of the spectrum, cycles per pixel
MAX_SIDE = 1024                                          # pixels per side: larger images are cropped to their centre
MIN_PIXELS = 20                                             # pixels, below which noise features are 0


def file_features(path: str | Path, gray: np.ndarray) -> dict[str, list[float]]:
    """Features of a file by kind; `gray` is its image (H, W) uint8."""
    with open_image(path) as image:
        tables = getattr(image, "quantization", None) or {}
        quality = [float(sum(table)) for table in tables.values()][:2]
        mode, kind, frame = image.mode, image.format or "", image.size
    border = np.concatenate([gray[:2].ravel(), gray[-2:].ravel(), gray[:, :2].ravel(), gray[:, -2:].ravel()])
    pixels, gray = gray.size, _centre_crop(gray)
    levels = np.unique(gray)
    bands, grid = _spectrum(gray)
    stem = Path(path).stem
    return {
        "file size": [float(os.path.getsize(path)), os.path.getsize(path) / pixels],
        "format, mode and JPEG tables": [float(text_hash(kind)), float(text_hash(mode)), *(quality + [0.0, 0.0])[:2]],
        "dimensions": [float(frame[0]), float(frame[1])],
        "border": [float(border.mean()), float(border.std()), float((border > 0).mean())],
        "background noise": [float((gray[gray < 8] > 0).mean()) if (gray < 8).any() else -1.0],
        "spectrum": bands,
        "upsampling grid": [grid],
        "noise": _noise(gray.astype(np.float32)),
        "grey levels": [len(levels) / (int(levels[-1]) - int(levels[0]) + 1)],      # below 1: stretched, with gaps
        "name": [float(text_hash(re.sub(r"\d+", "#", stem))), float(len(stem))],
    }


def _centre_crop(gray: np.ndarray) -> np.ndarray:
    top, left = (max(0, (side - MAX_SIDE) // 2) for side in gray.shape)
    return gray[top:top + MAX_SIDE, left:left + MAX_SIDE]


def _spectrum(gray: np.ndarray) -> tuple[list[float], float]:
    """Log power per frequency in each of BANDS, and log power at the upsampling frequencies, relative to the total."""
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
    """Residual of a 3 x 3 mean in the flatter half of the head: log standard deviation, log kurtosis, and correlation
    of pixels one and two apart; zeros if undefined.
    """
    left = gray - uniform_filter(gray, 3)
    rough = uniform_filter(left**2, 5)
    head = gray > 0.15 * gray.max()
    flat = head & (rough <= np.median(rough[head])) if head.any() else head
    values = left[flat]
    if len(values) < MIN_PIXELS or not values.std() > 0:
        return [0.0] * 4
    kurtosis = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    apart = []
    for lag in (1, 2):
        first, second = left[:, :-lag][flat[:, :-lag]], left[:, lag:][flat[:, :-lag]]
        deviations = first.std() * second.std() if len(first) else 0.0
        covariance = np.mean((first - first.mean()) * (second - second.mean())) if deviations > 0 else 0.0
        apart.append(float(covariance / deviations) if deviations > 0 else 0.0)
    return [float(np.log(values.std())), float(np.log(kurtosis)), *apart]


def text_hash(text: str) -> int:
    """A small hash of a text, the same on every machine."""
    return sum(ord(letter) * 31**i for i, letter in enumerate(text)) % 9973
