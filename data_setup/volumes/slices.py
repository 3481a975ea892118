"""Slices of a volume: isotropic, brain-centred, axial, with one intensity window for the whole volume.

A slice is drawn in the radiological convention: anterior at the top, the patient's right at the left.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from data_setup.volumes.volume import Volume, VolumeError, is_axes
from functions.runtime.errors import UserError

LOW, HIGH = 0.5, 99.5       # percentiles of the window: LOW of all voxels, HIGH of the middle of the head
MIDDLE = 0.25, 0.75         # of the head's bounding box, left to right and front to back: brain, but no scalp
HEAD = 0.1                  # the head is brighter than this share of the range between percentiles 2 and 98
MARGIN = 2                  # resampled slices at either end of a volume that are never used
BELOW = 40.0, 100.0         # mm below the top of the head: from the top of the ventricles to the temporal lobes
HEIGHT = 75.0               # mm from the largest section of a head to its top
MOST, FINEST, COARSEST = 99, 0.2, 5.0       # slices of a volume; mm per pixel
INVERTED = 0.9              # share of the range between percentiles 2 and 98, above which no background is
WINDOWS = PERCENTILES, HEADER = "percentiles", "header"      # where black and white come from
MASKED = 0.6                # share of voxels with one value, above which a volume is probably skull-stripped


@dataclass(frozen=True)
class Settings:
    """How slices are made: their number, size (height, width), voxel size in mm, bits, window, assumed orientation."""

    slices: int = 16
    size: tuple[int, int] = (224, 192)
    spacing: float = 1.0
    bits: int = 8
    window: str = PERCENTILES       # or HEADER: intensities are from 0 to 1 already
    orientation: str | None = None

    def __post_init__(self):
        if not 1 <= self.slices <= MOST or not FINEST <= self.spacing <= COARSEST:
            raise UserError(f"--slices {self.slices} --spacing {self.spacing:g}: slices must be 1 to {MOST}, spacing "
                            f"{FINEST:g} to {COARSEST:g} mm")
        if self.orientation and not is_axes(self.orientation):
            raise UserError(f"--orientation {self.orientation}: name three axes, one each of R/L, A/P, S/I, e.g. LAS")


@dataclass(frozen=True)
class Slices:
    """The slices (n, H, W) from inferior to superior, their places and the window."""

    pixels: np.ndarray              # uint8 or uint16
    z: tuple[float, ...]            # mm, along the third axis of the volume, in world coordinates of its centre
    window: tuple[float, float]     # intensities that become black and white
    notes: tuple[str, ...]


def make_slices(volume: Volume, settings: Settings) -> Slices:
    """Resamples the volume, chooses slices by the head's area, and applies the window.

    Raises VolumeError if no head is found in it, its intensities are inverted, or it has fewer slices than asked for.
    """
    data, darkened = darken_background(volume.data)
    data = resample(data, volume.spacing, settings.spacing)
    head, notes = find_head(data)
    chosen, note = choose(head.sum(axis=(0, 1)), settings)
    low, high = window(data, head, chosen) if settings.window == PERCENTILES else (0.0, 1.0)
    most = 2**settings.bits - 1
    scaled = np.rint(np.clip((data[:, :, chosen] - low) / (high - low), 0, 1) * most)
    pixels, cut = frame(scaled.astype(np.uint8 if settings.bits == 8 else np.uint16), head, settings.size)
    return Slices(pixels, _world_z(volume, chosen, settings.spacing), (low, high),
                  tuple(note for note in (*volume.notes, darkened, *notes, note, cut) if note))


def resample(data: np.ndarray, spacing: np.ndarray, to: float) -> np.ndarray:
    """(X, Y, Z) with voxels of `spacing` mm → voxels of `to` mm in all directions, by linear interpolation.

    The first voxel keeps its place. Where voxels become larger, the volume is smoothed before: sigma (factor - 1) / 2.
    """
    factors = to / np.asarray(spacing, float)
    if np.allclose(factors, 1, atol=1e-3):
        return data
    if (factors > 1).any():
        data = ndimage.gaussian_filter(data, np.maximum(0, (factors - 1) / 2), mode="nearest")
    shape = tuple(int((side - 1) / factor + 1e-6) + 1 for side, factor in zip(data.shape, factors, strict=True))
    return ndimage.affine_transform(data, factors, output_shape=shape, order=1, mode="nearest")


def darken_background(data: np.ndarray) -> tuple[np.ndarray, str]:
    """(the volume with a background that is its lowest intensity, a note), for a masked volume of z-scores or the like,
    whose background of 0 lies within the intensities of the brain.

    VolumeError if the corners of the volume are brighter than its head: the intensities are inverted.
    """
    sample = data[::2, ::2, ::2]
    low, high = np.percentile(sample, (2, 98))
    ends = [np.r_[0:max(1, side // 10), side - max(1, side // 10):side] for side in sample.shape]
    if high > low and np.median(sample[np.ix_(*ends)]) > low + INVERTED * (high - low):
        raise VolumeError("inverted: its background is brighter than the head")
    values, counts = np.unique(sample, return_counts=True)
    value = values[counts.argmax()]
    if counts.max() <= MASKED * sample.size or len(values) == 1:
        return data, ""
    darkest = np.percentile(sample[sample != value], LOW)
    if value <= darkest:
        return data, ""
    return (np.where(data == value, darkest.astype(data.dtype), data),
            f"its background of {value:g} is not its lowest intensity; it is made black")


def find_head(data: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(which voxels belong to the head (X, Y, Z), notes): the largest connected bright region, as FSL's BET starts."""
    sample = data[::2, ::2, ::2]
    low, high = np.percentile(sample, (2, 98))
    background, counts = np.unique(sample, return_counts=True)
    notes = []
    if (share := counts.max() / sample.size) > MASKED:
        notes.append(f"{share:.0%} of its voxels are {background[counts.argmax()]:g}: probably skull-stripped")
        low, high = np.percentile(sample[sample != background[counts.argmax()]], (2, 98))
        low = min(low, background[counts.argmax()])
    if not high > low:
        raise VolumeError("no head found in it: almost all voxels have one value")
    regions, count = ndimage.label(data > low + HEAD * (high - low))
    if not count:
        raise VolumeError("no head found in it")
    return regions == 1 + np.bincount(regions.ravel())[1:].argmax(), notes


def choose(area: np.ndarray, settings: Settings) -> tuple[np.ndarray, str]:
    """(indices of the chosen slices, a note) from the head's area (Z,), in voxels, in every resampled slice.

    The candidates are the slices around the one of largest area, without a break, that have at least half of its area
    and are not at an end of the volume. The head's top is the last slice of at least a tenth of it. The chosen slices
    are spread evenly over BELOW mm below the top, or, where the volume does not reach so far, over the candidates.
    If the top is outside the volume, its place follows from the area f of the last slice as a share of the largest,
    as in an ellipsoid: HEIGHT (1 - sqrt(1 - f)) mm above.
    """
    inside = np.zeros(len(area), bool)
    inside[MARGIN:len(area) - MARGIN] = True
    large = ndimage.label((area >= area.max() / 2) & inside)[0]
    peak = int(np.where(inside, area, -1).argmax())
    if large[peak] == 0:
        raise VolumeError("too few slices")
    candidates = np.flatnonzero(large == large[peak])
    top, note = int(np.flatnonzero(area >= area.max() / 10).max()), ""
    if top == len(area) - 1:
        above = HEIGHT * (1 - math.sqrt(1 - area[top] / area.max()))
        top, note = top + above / settings.spacing, f"the top of the head is about {above:.0f} mm outside the volume"
    span = candidates[(candidates <= top - BELOW[0] / settings.spacing)
                      & (candidates >= top - BELOW[1] / settings.spacing)]
    if len(span) < min(settings.slices, len(candidates)):
        span, note = candidates, note or "a small volume: slices are spread over all of the head"
    if len(span) < settings.slices:
        raise VolumeError(f"{len(span)} slices of {settings.spacing:g} mm show the head, fewer than --slices "
                          f"{settings.slices}")
    return np.rint(np.linspace(span[0], span[-1], settings.slices)).astype(int), note


def window(data: np.ndarray, head: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    """The intensities (black, white): percentile LOW of all voxels, HIGH of the middle of the chosen slices.

    What is brighter, mostly fat of the scalp, becomes white. Raises VolumeError if the two are equal.
    """
    middle = []
    for axis in (0, 1):
        used = np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {axis})))
        middle.append(slice(*(int(used[0] + share * (used[-1] + 1 - used[0])) for share in MIDDLE)))
    low, high = np.percentile(data, LOW), np.percentile(data[middle[0], middle[1]][:, :, chosen], HIGH)
    if not high > low:
        raise VolumeError("no contrast: its window is empty")
    return float(low), float(high)


def frame(data: np.ndarray, head: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """((n, H, W) from (X, Y, n), a note): radiological, the head's bounding box centred, cut or filled with 0."""
    height, width = size
    drawn = np.zeros((data.shape[2], height, width), data.dtype)
    cut = 0
    source, target = [], []
    for axis, side in ((1, height), (0, width)):
        used = np.flatnonzero(head.any(axis=tuple({0, 1, 2} - {axis})))
        start = math.ceil((used[0] + used[-1] + 1 - side) / 2)
        cut = max(cut, start - used[0], used[-1] + 1 - start - side)
        first, last = max(0, start), min(data.shape[axis], start + side)
        source.append(slice(first, last))
        target.append(slice(side - (last - start), side - (first - start)))
    drawn[:, target[0], target[1]] = data[source[1], source[0]][::-1, ::-1].transpose(2, 1, 0)
    return drawn, f"the frame of {height} x {width} cuts off {cut} pixels of the head" if cut > 0 else ""


def _world_z(volume: Volume, chosen: np.ndarray, spacing: float) -> tuple[float, ...]:
    """Superior coordinate in mm of the centre of each chosen slice."""
    centre = (np.array(volume.data.shape) - 1) / 2
    return tuple(float((volume.affine @ [centre[0], centre[1], index * spacing / volume.spacing[2], 1])[2])
                 for index in chosen)
