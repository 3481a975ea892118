"""The files of one DICOM series as a volume.

Intensities: stored value → modality LUT or rescale slope and intercept of each file
(`pydicom.pixels.apply_modality_lut`) → negated for MONOCHROME1 → a window for the volume by percentiles (`slices.py`).
The window or VOI LUT in the header is a setting of a display and may differ from slice to slice. It takes the place of
the percentiles if asked for: stored value → modality LUT → VOI LUT (`voi.py`) → inverted for MONOCHROME1.

Places: files are sorted by ImagePositionPatient projected on the normal of the slices, never by number or name.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_setup.volumes.formats.packages import import_pydicom
from data_setup.volumes.formats.voi import apply_voi, one_window
from data_setup.volumes.volume import Volume, VolumeError, make_volume

SAME = 0.01             # mm: positions that are closer are one
UNEVEN = 0.1            # share of the distance between slices, by which distances may differ
SHEAR = 1.0             # degrees between the stack's direction and the normal of its slices
PLUGINS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """One slice: where it is (LPS, mm), its in-plane directions (6,), pixel spacing (rows, columns), its values."""

    position: np.ndarray
    directions: np.ndarray
    spacing: tuple[float, float]
    values: np.ndarray              # (rows, columns), after the modality LUT, or after the VOI LUT
    window: str                     # the one of the header, in words; "" if it is not applied


def read_dicom(files: list[Path], header_window: bool = False) -> Volume:
    """The volume of one series, single-frame or enhanced multi-frame; VolumeError with the reason if it has none.

    `header_window`: apply the window of the header, which gives intensities from 0 to 1.
    """
    planes = [plane for path in files for plane in _planes(path, header_window)]
    if len(planes) < 2:
        raise VolumeError("one slice only")
    for what, values in (("sizes", [plane.values.shape for plane in planes]),
                         ("pixel spacings", [tuple(np.round(plane.spacing, 3)) for plane in planes])):
        if len(set(values)) > 1:
            raise VolumeError(f"its slices have {len(set(values))} {what}")
    first = planes[0].directions
    if any(np.abs(plane.directions - first).max() > 1e-3 for plane in planes):
        raise VolumeError("its slices have several orientations (a localiser?)")
    normal = np.cross(first[:3], first[3:])
    if not (length := np.linalg.norm(normal)) > 0.9:        # of two perpendicular directions: 1 but for rounding
        raise VolumeError("wrong affine: ImageOrientationPatient has no two perpendicular directions")
    normal /= length
    order = np.argsort([plane.position @ normal for plane in planes], kind="stable")
    planes, notes = _without_duplicates([planes[index] for index in order], normal)
    if header_window:
        notes.append(one_window([plane.window for plane in planes]))
    step = _step(planes, normal)
    affine = np.eye(4)
    affine[:3, 0] = first[:3] * planes[0].spacing[1]        # along a row: the column index grows
    affine[:3, 1] = first[3:] * planes[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = planes[0].position
    data = np.stack([plane.values.T for plane in planes], axis=2)
    return make_volume(data, LPS_TO_RAS @ affine, tuple(notes))


def _planes(path: Path, header_window: bool) -> list[Plane]:
    """The slices of one file."""
    try:
        header = import_pydicom().dcmread(path, force=True)
        if int(header.get("SamplesPerPixel", 1)) != 1:
            raise VolumeError("its pixels are colours, not intensities")
        if "MOSAIC" in (header.get("ImageType") or ()):
            raise VolumeError("a mosaic, all slices in one image (functional or diffusion MRI): convert it to NIfTI "
                              "with dcm2niix and extract one volume")
        voi = header if header_window else None
        return _frames(header, _pixels(header), voi) if "PerFrameFunctionalGroupsSequence" in header else [
            _plane(header, header, header, header, voi, _pixels(header))]
    except (VolumeError, MemoryError):
        raise
    except Exception as error:          # pydicom raises many kinds for damaged files, with values of fields in them
        raise VolumeError(f"a file of the series is damaged: {type(error).__name__} in its header") from error


def _pixels(header) -> np.ndarray:
    """The stored values; VolumeError that names the packages which a compressed transfer syntax needs."""
    pixels = import_pydicom().pixels
    syntax = header.file_meta.TransferSyntaxUID if "TransferSyntaxUID" in getattr(header, "file_meta", ()) else None
    other_decoder = ""
    if syntax is not None and syntax.is_compressed:
        try:
            decoder = pixels.get_decoder(syntax)
        except NotImplementedError:
            raise VolumeError(f"compressed as {syntax.name}, which pydicom cannot decode") from None
        if not decoder.is_available:
            raise VolumeError(f"compressed as {syntax.name}: {PLUGINS}")
        if decoder.available_plugins == ("pillow",):        # which reads most such files, but not of 12 bits
            other_decoder = f", or {syntax.name} needs another decoder; {PLUGINS}"
    if header.get("NumberOfFrames", 1) not in (None, 1) and "PerFrameFunctionalGroupsSequence" not in header:
        raise VolumeError("frames without positions (a film or a derived file)")
    if syntax is None:                  # no file meta information: the default of DICOM
        header.file_meta = getattr(header, "file_meta", None) or import_pydicom().dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = import_pydicom().uid.ImplicitVRLittleEndian
    try:
        return header.pixel_array
    except MemoryError:
        raise
    except Exception as error:          # of many kinds, with values of fields in their messages
        raise VolumeError(f"a file of the series is damaged or truncated: its pixels cannot be decoded "
                          f"({type(error).__name__}){other_decoder}") from error


def _frames(header, values: np.ndarray, voi) -> list[Plane]:
    """The slices of an enhanced multi-frame file; what a frame does not say, the shared groups say."""
    [shared] = header.get("SharedFunctionalGroupsSequence") or [import_pydicom().Dataset()]
    planes = []
    frames = values if values.ndim == 3 else values[None]
    for group, frame in zip(header.PerFrameFunctionalGroupsSequence, frames, strict=True):
        def item(name, group=group):
            found = group.get(name) or shared.get(name)
            return found[0] if found else import_pydicom().Dataset()

        rescale = item("PixelValueTransformationSequence")
        rescale.PhotometricInterpretation = header.PhotometricInterpretation
        planes.append(_plane(item("PlanePositionSequence"), item("PlaneOrientationSequence"),
                             item("PixelMeasuresSequence"), rescale,
                             None if voi is None else item("FrameVOILUTSequence"), frame))
    return planes


def _plane(position, orientation, measures, rescale, voi, values: np.ndarray) -> Plane:
    for name, found, count in (("ImagePositionPatient", position, 3), ("ImageOrientationPatient", orientation, 6),
                               ("PixelSpacing", measures, 2)):
        if not found.get(name):
            raise VolumeError(f"its orientation is not known: a slice has no {name}")
        if np.size(found.get(name)) != count:
            raise VolumeError(f"wrong affine: {name} has {np.size(found.get(name))} values, not {count}")
    for name, neutral in (("RescaleSlope", 1), ("RescaleIntercept", 0)):        # empty, or one without the other
        if rescale.get(name) is None:
            setattr(rescale, name, neutral)
    values = np.asarray(import_pydicom().pixels.apply_modality_lut(values, rescale), dtype=np.float32)
    window = ""
    if voi is not None:
        values, window = apply_voi(values, voi)
    if rescale.get("PhotometricInterpretation") == "MONOCHROME1":
        values = 1 - values if window else -values
    return Plane(np.array(position.ImagePositionPatient, float), np.array(orientation.ImageOrientationPatient, float),
                 tuple(map(float, measures.PixelSpacing)), values, window)


def _without_duplicates(planes: list[Plane], normal: np.ndarray) -> tuple[list[Plane], list[str]]:
    """Of identical slices at one place one is kept; VolumeError if slices at one place differ."""
    kept: list[Plane] = []
    for plane in planes:
        if kept and abs((plane.position - kept[-1].position) @ normal) < SAME:
            if not np.array_equal(plane.values, kept[-1].values):
                raise VolumeError("4-D: several different slices at one place (echoes, time points or directions)")
            continue
        kept.append(plane)
    dropped = len(planes) - len(kept)
    return kept, [f"{dropped} duplicate slices dropped"] * bool(dropped)


def _step(planes: list[Plane], normal: np.ndarray) -> np.ndarray:
    """The vector in mm from a slice to the next, (3,); VolumeError for gaps and for a sheared stack."""
    if len(planes) < 2:
        raise VolumeError("one slice only")
    positions = np.array([plane.position for plane in planes])
    distances = np.diff(positions @ normal)
    usual = float(np.median(distances))
    if (np.abs(distances - usual) > usual * UNEVEN).any():
        missing = np.rint(distances / usual - 1).clip(min=0)
        raise VolumeError(f"gaps: {np.count_nonzero(missing)} distances between slices exceed the usual {usual:.2f} "
                          f"mm, about {missing.sum():.0f} slices are missing" if missing.any() else
                          f"its slices are unevenly spaced, {distances.min():.2f} to {distances.max():.2f} mm")
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    angle = np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1)))
    if angle > SHEAR:
        raise VolumeError(f"a sheared stack: its slices are shifted by {angle:.1f} degrees (tilted gantry)")
    return step
