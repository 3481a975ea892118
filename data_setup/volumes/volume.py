"""A volume in RAS orientation, and the checks that every volume passes before slices are made of it.

RAS: the first axis of the array points to the patient's right, the second to anterior, the third to superior. The
affine maps voxel indices to mm in RAS world coordinates, as in NIfTI.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from data_setup.volumes.formats.packages import import_nibabel

SIZES = 0.1, 20.0           # mm: voxel sizes outside are those of no head scan
SHEAR = 5.0                 # degrees from the perpendicular between two axes
OBLIQUE = 30.0              # degrees of tilt, from which slices are hardly axial any more
LEVELS = 4096               # of the range of intensities that float32 must tell apart
FEWEST = 4                  # voxels along every axis


class VolumeError(Exception):
    """The reason why a volume is left out, for the manifest."""


@dataclass(frozen=True)
class Volume:
    """Intensities (X, Y, Z) in RAS as float32, or float64 where an offset needs it; affine of this array; notes."""

    data: np.ndarray
    affine: np.ndarray                  # (4, 4), voxel → mm
    axes: str                           # the orientation in the file, for instance LPS
    notes: tuple[str, ...] = field(default=())

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm, (3,)."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))

    @property
    def tilt(self) -> float:
        """Largest angle in degrees between an axis of the array and the axis of the scanner that it is named after."""
        cosines = np.abs(np.diag(self.affine[:3, :3])) / self.spacing
        return float(np.degrees(np.arccos(np.clip(cosines, 0, 1))).max())


def make_volume(data: np.ndarray, affine: np.ndarray, notes: tuple[str, ...] = ()) -> Volume:
    """The volume in RAS: axes permuted and flipped, no interpolation. The axes of an oblique volume stay oblique.

    Raises VolumeError, with the reason, for a volume that is not 3-D, has a side of fewer than 4 voxels, NaN, one
    value only, or an affine that is singular or gives no voxel size of a head scan.
    """
    orientations = import_nibabel().orientations
    check_shape(data.shape)
    if data.dtype.names or not np.issubdtype(data.dtype, np.number) or np.iscomplexobj(data):
        raise VolumeError(f"its voxels are colours or complex numbers ({data.dtype}), not intensities")
    _check_affine(affine)
    data = _as_float(data)
    if bad := data.size - np.count_nonzero(np.isfinite(data)):
        raise VolumeError(f"{bad:,} of {data.size:,} voxels are NaN or infinite")
    if data.min() == data.max():
        raise VolumeError(f"all voxels have one value ({data.flat[0]:g})")
    found = orientations.io_orientation(affine)
    turned = orientations.apply_orientation(data, found)
    affine = affine @ orientations.inv_ornt_aff(found, data.shape)
    volume = Volume(turned, affine, "".join(orientations.ornt2axcodes(found)), notes)
    if volume.tilt > OBLIQUE:
        volume = replace(volume, notes=(*notes, f"oblique: its slices are tilted by {volume.tilt:.0f} degrees"))
    return volume


def affine_of_axes(axes: str, spacing: tuple[float, ...]) -> np.ndarray:
    """The affine (4, 4) of an array whose axes point to `axes` (three of R L A P S I), with voxel sizes in mm."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (letter, size) in enumerate(zip(axes, spacing, strict=True)):
        row = next(number for number, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[row, column] = size if letter in "RAS" else -size
    return affine


def is_axes(text: str) -> bool:
    """Whether a text names three different axes, for instance LAS."""
    return len(text) == 3 and all(sum(letter in pair for letter in text) == 1 for pair in ("RL", "AP", "SI"))


def _as_float(data: np.ndarray) -> np.ndarray:
    """As float32, or float64 if the range is so small beside an offset that float32 has fewer than LEVELS in it."""
    single = np.asarray(data, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        low, high = float(single.min()), float(single.max())
        coarse = np.spacing(np.float32(max(abs(low), abs(high)))) * LEVELS > high - low
    return np.asarray(data, dtype=np.float64) if coarse and data.dtype.itemsize >= 4 else single


def check_shape(shape: tuple[int, ...]) -> None:
    """VolumeError with the reason unless a volume of this shape is 3-D with at least FEWEST voxels along every axis."""
    shown = " x ".join(map(str, shape))
    if len(shape) != 3:
        raise VolumeError(f"{len(shape)}-D ({shown}): a volume is 3-D; extract one of its volumes")
    if min(shape) < 2:
        raise VolumeError(f"one slice only ({shown})")
    if min(shape) < FEWEST:
        raise VolumeError(f"{min(shape)} slices only ({shown})")


def _check_affine(affine: np.ndarray) -> None:
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise VolumeError("wrong affine: it has values that are not finite")
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if sizes.min() == 0 or abs(np.linalg.det(affine[:3, :3] / sizes)) < 0.2:
        raise VolumeError("wrong affine: it is singular, or its axes are far from perpendicular")
    axes = affine[:3, :3] / sizes
    if (shear := 90 - np.degrees(np.arccos(np.clip(np.abs(axes.T @ axes - np.eye(3)).max(), 0, 1)))) > SHEAR:
        raise VolumeError(f"wrong affine: its axes are sheared by {shear:.0f} degrees: resample it to a regular grid")
    if sizes.min() < SIZES[0] or sizes.max() > SIZES[1]:
        raise VolumeError(f"wrong affine: voxels of {' x '.join(f'{size:.3g}' for size in sizes)} mm")
