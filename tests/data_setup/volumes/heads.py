"""A small head without symmetries, and its files in every format and orientation."""

import itertools

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from data_setup.volumes.slices import Settings

SPACING = (5.0, 4.0, 6.0)
SETTINGS = Settings(slices=3, size=(50, 40), spacing=4.0)
AFFINE = np.array([[5.0, 0, 0, -80], [0, 4, 0, -90], [0, 0, 6, -70], [0, 0, 0, 1]])
ORIENTATIONS = ["".join(axes) for order in itertools.permutations(("RL", "AP", "SI"))
                for axes in itertools.product(*order)]


def head(seed=0):
    """(32, 46, 30) in RAS: an ellipsoid of noise with three different marks; int16."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in (32, 46, 30)), indexing="ij")
    inside = (x / 0.8) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 1
    data = inside * (300 + np.random.default_rng(seed).integers(0, 100, x.shape))
    for mark, level in (((x > 0.3) & (y > 0), 200), ((y > 0.4) & (x < 0), 400), ((z > 0.3) & (y < 0), -150)):
        data = data + level * (mark & inside)
    return data.astype(np.int16)


def turned(data, axes, affine=AFFINE):
    """(array, affine) of the same head stored along `axes`."""
    orientations = nibabel.orientations
    change = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(axes))
    return (orientations.apply_orientation(data, change),
            affine @ orientations.inv_ornt_aff(change, data.shape))


def save_nifti(path, data=None, axes="RAS", affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    array, affine = turned(head() if data is None else data, axes, affine)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def save_analyze(path, data, spacing=SPACING):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.AnalyzeImage(data, np.diag([*spacing[:3], 1]))
    image.header.set_zooms(spacing)
    nibabel.save(image, path)
    return path


def datasets(data=None, affine=AFFINE, patient="SECRET-42", description="T1 MPRAGE", **fields):
    """One pydicom data set per axial slice of a RAS array, superior first, as scanners number them."""
    data = head() if data is None else data
    lps, series, study = np.diag([-1, -1, 1, 1]) @ affine, generate_uid(), generate_uid()
    lps = lps @ np.array([[-1, 0, 0, data.shape[0] - 1], [0, -1, 0, data.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1]])
    columns, rows = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    made = []
    for number, k in enumerate(reversed(range(data.shape[2])), start=1):
        one = pydicom.Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = MRImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.SeriesInstanceUID, one.StudyInstanceUID, one.StudyDate = series, study, "20200102"
        one.PatientID, one.PatientName, one.Modality = patient, "Doe^Jane", "MR"
        one.SeriesDescription, one.SeriesNumber, one.InstanceNumber = description, 3, number
        one.ImagePositionPatient = [round(float(value), 6) for value in (lps @ [0, 0, k, 1])[:3]]
        one.ImageOrientationPatient = [round(float(value), 8) for value in (*columns, *rows)]
        one.PixelSpacing = [float(np.linalg.norm(lps[:3, axis])) for axis in (1, 0)]
        one.Rows, one.Columns, one.SamplesPerPixel = data.shape[1], data.shape[0], 1
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PhotometricInterpretation = "MONOCHROME2"
        one.PixelData = np.ascontiguousarray(data[::-1, ::-1, k].T.astype(np.int16)).tobytes()
        for name, value in fields.items():
            setattr(one, name, value)
        made.append(one)
    return made


def save_dicom(folder, sets, name="IM{:04d}"):
    """Files in an order that is not that of the positions."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(sets):
        paths.append(folder / name.format(number * 7 % len(sets) if len(sets) % 7 else number))
        one.save_as(paths[-1], enforce_file_format=True)
    return paths
