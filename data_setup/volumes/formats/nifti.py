"""NIfTI and Analyze files as volumes.

Analyze has no orientation. The files of OASIS-1 and -2 have their own, known from four converters that agree (Clinica,
brainspresso, the reorientation script for SPM by G. Ridgway, and the recipe of brainder.org for FSL):

| file | axes |
|---|---|
| `OAS1_0001_MR1_mpr-1_anon`, `…_sbj_111`, `OAS2_0001_MR1/RAW/mpr-1.nifti` | A S L: sagittal slices |
| `…_111_t88_gfc`, `…_t88_masked_gfc` | L A S |

Any other Analyze file, and a NIfTI file with qform and sform codes of 0, needs `--orientation`.
"""

import logging
import re
from pathlib import Path

import numpy as np

from data_setup.volumes.formats.packages import import_nibabel
from data_setup.volumes.volume import Volume, VolumeError, affine_of_axes, check_shape, make_volume

ENDINGS = (".nii", ".nii.gz", ".img", ".img.gz")
HEADERS = (".hdr", ".hdr.gz")
OASIS = ((re.compile(r"(^|/)OAS1_\d{4}_MR\d_mpr-\d_anon\b[^/]*$", re.IGNORECASE), "ASL"),
         (re.compile(r"(^|/)OAS1_\d{4}_MR\d_[^/]*_sbj_111\b[^/]*$", re.IGNORECASE), "ASL"),
         (re.compile(r"(^|/)OAS1_\d{4}_MR\d_[^/]*_t88_(masked_)?gfc\b[^/]*$", re.IGNORECASE), "LAS"),
         (re.compile(r"(^|/)OAS2_\d{4}_MR\d/RAW/mpr-\d\.nifti\.[^/]*$", re.IGNORECASE), "ASL"))
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
APART = 5.0                 # degrees between qform and sform, from which a note says so
FIXED = ("magic", "regular", "orient", "hkey_un0")     # texts of a header that are no free text


logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)      # the reason is in the exception


def read_nifti(path: Path, orientation: str | None = None) -> Volume:
    """Reads .nii, .nii.gz, .hdr/.img (NIfTI pairs and Analyze). `orientation`: axes of files that record none.

    Raises VolumeError with the reason for a file that is damaged, not 3-D, or whose orientation is not known.
    """
    nibabel = import_nibabel()
    if partner := missing_partner(path):
        raise VolumeError(f"{partner} is missing")
    try:
        image = nibabel.load(path)
        if not isinstance(image, nibabel.analyze.AnalyzeImage):     # NIfTI is a kind of it, CIFTI is not
            raise VolumeError(f"not a volume but {type(image).__name__}")
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        check_shape(shape)                  # before voxels are read: a time series may be larger than the memory
        data = np.asanyarray(image.dataobj).reshape(shape)
    except VolumeError:
        raise
    except Exception as error:      # nibabel, zlib and gzip raise many kinds for damaged files
        reason = " ".join(str(error).split()).replace(str(path), path.name) or type(error).__name__
        if _is_packed(path):
            reason = "it is compressed by gzip without being named .gz: rename it"
        if not path.name.endswith((*ENDINGS, *map(str.upper, ENDINGS))):
            reason = "its ending has capital and small letters: write it in small ones"
        raise VolumeError(f"cannot be read: {reason[:200]}") from error
    if getattr(image.header, "is_single", False) and image.dataobj.offset < image.header.single_vox_offset:
        raise VolumeError(f"cannot be read: by its header, its voxels begin at byte {image.dataobj.offset}, within it")
    affine, notes = _affine(path, image, orientation)
    return make_volume(data, affine, notes)


def missing_partner(path: Path) -> str:
    """The name of the header of an .img file, or of the .img of a header, if it is not there; "" otherwise."""
    name, swap = path.name, {".img": ".hdr", ".hdr": ".img"}
    stem, packed = (name[:-3], ".gz") if name.lower().endswith(".gz") else (name, "")
    if (ending := stem[-4:].lower()) not in swap:
        return ""
    other = stem[:-4] + (swap[ending].upper() if stem[-4:].isupper() else swap[ending])
    return "" if any((path.parent / (other + end)).is_file() for end in {packed, "", ".gz"}) else other


def header_texts(path: Path) -> list[str]:
    """The names of the header's free-text fields that are not empty, which may name a patient.

    Among them `extensions`, which may hold a DICOM header; none if the header cannot be read.
    """
    try:
        header = import_nibabel().load(path).header
        kinds = header.structarr.dtype
        texts = [name for name in kinds.names if kinds[name].kind == "S" and name not in FIXED]
        found = [name for name in texts if bytes(header[name].item()).strip(b"\0 ")]
        return found + ["extensions"] * bool(getattr(header, "extensions", ()))
    except Exception:               # the reason is reported when the volume is read
        return []


def _affine(path: Path, image, orientation: str | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """(affine in mm, notes) by the file's header, OASIS's rule or `orientation`."""
    spacing = tuple(float(size) for size in image.header.get_zooms()[:3])
    known = next((axes for pattern, axes in OASIS if pattern.search(path.as_posix())), None)
    recorded = hasattr(image.header, "get_xyzt_units")             # NIfTI, not Analyze
    if not (recorded and image.header["sform_code"]):
        _check_sizes(image)
    if not recorded or not (image.header["qform_code"] or image.header["sform_code"]):
        if known:
            return affine_of_axes(known, spacing), (f"OASIS: axes {known} by the names of file and folders",)
        if orientation is None:
            raise VolumeError("its header has no orientation: say it with --orientation, for instance LAS")
        return affine_of_axes(orientation, spacing), (f"axes {orientation} by --orientation",)
    try:
        scale = MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    except KeyError as error:
        raise VolumeError(f"wrong affine: its unit of length is not one of NIfTI (code {error})") from error
    return np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, float), _check_forms(image)


def _check_forms(image) -> tuple[str, ...]:
    """VolumeError if qform and sform are both set and name different axes; a note if their voxel sizes differ."""
    if not (image.header["qform_code"] and image.header["sform_code"]):
        return ()
    axcodes = import_nibabel().orientations.aff2axcodes
    try:
        qform = image.header.get_qform()
    except Exception as error:      # an impossible quaternion
        raise VolumeError(f"wrong affine: {' '.join(str(error).split())[:100]}") from error
    sform = image.header.get_sform()
    if axcodes(qform) != axcodes(sform):
        raise VolumeError(f"wrong affine: qform says {''.join(map(str, axcodes(qform)))} and "
                          f"sform {''.join(map(str, axcodes(sform)))}")
    q, s = (np.sqrt((form[:3, :3] ** 2).sum(axis=0)) for form in (qform, sform))
    if not np.allclose(q, s, rtol=0.02):
        return ("qform and sform differ in voxel size; sform is used",)
    angle = np.degrees(np.arccos(np.clip((qform[:3, :3] / q * sform[:3, :3] / s).sum(axis=0), -1, 1))).max()
    return (f"qform and sform differ by {angle:.0f} degrees; sform is used",) if angle > APART else ()


def _check_sizes(image) -> None:
    """VolumeError if the header has a voxel size of 0, which nibabel reads as 1 mm without a word."""
    place = image.file_map.get("header") or image.file_map["image"]
    with place.get_prepare_fileobj("rb") as stream:
        sizes = type(image.header).from_fileobj(stream, check=False)["pixdim"][1:4]
    if not np.isfinite(sizes).all() or not sizes.all():
        raise VolumeError(f"wrong affine: its header has voxels of {' x '.join(f'{size:.3g}' for size in sizes)} mm")


def _is_packed(path: Path) -> bool:
    if path.name.lower().endswith(".gz") or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
