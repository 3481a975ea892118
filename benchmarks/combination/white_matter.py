"""Four numbers per slice whose thresholds are relative to the brightness of white matter."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from data_setup.audit.baseline_features import BRAIN, four_numbers

WHITE, SMOOTH = 200, 4          # white matter's brightness after normalisation; SD in gray levels


def white_level(image: np.ndarray) -> int:
    """The gray level of white matter in a slice (H, W) of uint8: the highest peak above the median of the brain.

    The histogram of all pixels of at least BRAIN is smoothed by a Gaussian with SD SMOOTH. 0 for an empty slice.
    """
    pixels = image[image >= BRAIN]
    if not len(pixels):
        return 0
    counts = gaussian_filter1d(np.bincount(pixels, minlength=256).astype(float), SMOOTH)
    middle = int(np.median(pixels))
    return middle + int(counts[middle:].argmax())


def normalised_numbers(image: np.ndarray) -> np.ndarray:
    """`four_numbers` (4,) of the slice after scaling white matter to the gray level WHITE: fluid is below 0.4 of it."""
    level = white_level(image)
    return four_numbers(image.astype(float) * (WHITE / level) if level else image)
