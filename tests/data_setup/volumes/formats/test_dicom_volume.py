import copy
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, RLELossless

from data_setup.volumes.formats.dicom_volume import read_dicom
from data_setup.volumes.formats.nifti import read_nifti
from data_setup.volumes.slices import make_slices
from data_setup.volumes.volume import VolumeError
from tests.data_setup.volumes.heads import AFFINE, SETTINGS, datasets, head, save_dicom, save_nifti

ANGLE = np.radians(9)
OBLIQUE = np.array([[np.cos(ANGLE), 0, np.sin(ANGLE), 3], [0, 1, 0, -5], [-np.sin(ANGLE), 0, np.cos(ANGLE), 8],
                    [0, 0, 0, 1]]) @ AFFINE


def read(folder, sets):
    return read_dicom(save_dicom(folder, sets))


@pytest.mark.parametrize("affine", [AFFINE, OBLIQUE])
def test_a_series_and_its_nifti_give_the_same_slices(tmp_path, affine):
    series = read(tmp_path / "dicom", datasets(affine=affine))
    nifti = read_nifti(save_nifti(tmp_path / "scan.nii.gz", axes="LPS", affine=affine))
    np.testing.assert_allclose(series.affine, nifti.affine, atol=1e-3)
    np.testing.assert_array_equal(series.data, nifti.data)
    one, other = make_slices(series, SETTINGS), make_slices(nifti, SETTINGS)
    assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1            # positions are text in DICOM
    assert one.z == pytest.approx(other.z, abs=1e-2)


def test_modality_before_monochrome1_signed_and_slope_of_each_file(tmp_path):
    plain = datasets()
    for number, one in enumerate(plain):
        one.RescaleSlope, one.RescaleIntercept = number % 2 + 1, -1000
        stored = (head()[::-1, ::-1, 29 - number].T + 1000) // one.RescaleSlope
        one.PixelData = stored.astype(np.int16).tobytes()
        one.WindowCenter, one.WindowWidth = 40 + number, 20                    # a display's, not applied
    assert np.abs(read(tmp_path / "a", plain).data - head()).max() <= 1
    np.testing.assert_array_equal(
        read(tmp_path / "b", datasets(-head(), PhotometricInterpretation="MONOCHROME1")).data, head())
    assert head().min() == 0
    np.testing.assert_array_equal(read(tmp_path / "c", datasets(head() - 500)).data, head() - 500.0)
    empty = read(tmp_path / "d", datasets(RescaleSlope=2, RescaleIntercept=None))
    np.testing.assert_array_equal(empty.data, head() * 2.0)


def test_directions_of_three_decimals_are_no_shear(tmp_path):
    row, column = np.array([1, 1, 1]) / 3**0.5, np.array([1, -1, 0]) / 2**0.5
    for number, one in enumerate(sets := datasets()):
        one.ImageOrientationPatient = [round(float(value), 3) for value in (*row, *column)]
        one.ImagePositionPatient = [round(float(value), 3) for value in 6 * number * np.cross(row, column)]
    np.testing.assert_allclose(sorted(read(tmp_path, sets).spacing), [4, 5, 6], rtol=1e-3)


def test_modality_lut_then_the_window_of_the_header_then_monochrome1(tmp_path):
    """Of a stored value s: x = 2 s - 100, then clip((x - 300.5 + 0.5) / 200 + 0.5), then 1 - that."""
    values = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": [300.5, 7], "WindowWidth": [201, 9]}
    grey = np.clip((2.0 * head() - 100 - 300) / 200 + 0.5, 0, 1)
    for name, expected in (("MONOCHROME1", 1 - grey), ("MONOCHROME2", grey)):
        volume = read_dicom(save_dicom(tmp_path / name, datasets(PhotometricInterpretation=name, **values)), True)
        np.testing.assert_allclose(volume.data, expected, atol=1e-6)
        assert volume.notes == ("window of its header: centre 300.5, width 201",)
    settings = replace(SETTINGS, window="header")
    slices = make_slices(volume, settings)
    assert slices.window == (0, 1)
    assert 0 < np.isin(slices.pixels, (0, 255)).mean() < 1


def test_windows_that_differ_or_are_missing_are_reasons(tmp_path):
    sets = datasets(WindowCenter=300, WindowWidth=200)
    sets[4].WindowWidth = 201
    for name, made, reason in (("differ", sets, "2 different windows"), ("none", datasets(), "no window in its")):
        with pytest.raises(VolumeError, match=reason):
            read_dicom(save_dicom(tmp_path / name, made), True)


def test_gaps_duplicates_and_repeated_places(tmp_path):
    sets = datasets()
    with pytest.raises(VolumeError, match="gaps: 1 distances .* 6.00 mm, about 2 slices are missing"):
        read(tmp_path / "gap", sets[:9] + sets[11:])
    (uneven := copy.deepcopy(sets))[3].ImagePositionPatient[2] += 1
    with pytest.raises(VolumeError, match="unevenly spaced, 5.00 to 7.00 mm"):
        read(tmp_path / "uneven", uneven)
    volume = read(tmp_path / "twice", [*sets, *copy.deepcopy(sets[:2])])
    np.testing.assert_array_equal(volume.data, head())
    assert volume.notes == ("2 duplicate slices dropped",)
    with pytest.raises(VolumeError, match="4-D"):
        read(tmp_path / "echoes", [*sets, *datasets(head(seed=1))])
    with pytest.raises(VolumeError, match="one slice only"):
        read(tmp_path / "one", sets[:1])


def test_localisers_sheared_stacks_and_colours_have_reasons(tmp_path):
    sets = datasets()
    sets[3].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    with pytest.raises(VolumeError, match="several orientations"):
        read(tmp_path / "localiser", sets)
    for number, one in enumerate(sheared := datasets()):
        one.ImagePositionPatient[1] += number
    with pytest.raises(VolumeError, match="shifted by 9.5 degrees"):
        read(tmp_path / "sheared", sheared)
    for name, values in (("ImageOrientationPatient", [1, 0, 0]), ("ImagePositionPatient", [1, 2]), ("PixelSpacing", 5)):
        with pytest.raises(VolumeError, match=f"wrong affine: {name} has . values, not"):
            read(tmp_path / name, datasets(**{name: values}))
    with pytest.raises(VolumeError, match="no two perpendicular directions"):
        read(tmp_path / "parallel", datasets(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]))
    del (nowhere := datasets())[0].ImagePositionPatient
    with pytest.raises(VolumeError, match="no ImagePositionPatient"):
        read(tmp_path / "nowhere", nowhere)
    short = datasets()
    short[4].PixelData = short[4].PixelData[:100]
    with pytest.raises(VolumeError, match="pixels cannot be decoded .ValueError"):
        read(tmp_path / "short", short)


def test_enhanced_multi_frame(tmp_path):
    sets = datasets(affine=OBLIQUE)
    order = [number * 7 % 30 for number in range(30)]
    one = copy.deepcopy(sets[0])
    one.NumberOfFrames, one.PixelData = 30, b"".join(sets[number].PixelData for number in order)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(one, name)

    def group(name, **fields):
        inner, outer = Dataset(), Dataset()
        for field, value in fields.items():
            setattr(inner, field, value)
        setattr(outer, name, Sequence([inner]))
        return outer

    shared = group("PlaneOrientationSequence", ImageOrientationPatient=sets[0].ImageOrientationPatient)
    shared.update(group("PixelMeasuresSequence", PixelSpacing=sets[0].PixelSpacing))
    shared.update(group("PixelValueTransformationSequence", RescaleSlope=2, RescaleIntercept=5, RescaleType="US"))
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    one.PerFrameFunctionalGroupsSequence = Sequence(
        [group("PlanePositionSequence", ImagePositionPatient=sets[number].ImagePositionPatient) for number in order])
    volume = read(tmp_path, [one])
    np.testing.assert_array_equal(volume.data, head() * 2.0 + 5)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-3)


def test_compressed_files_are_read_or_name_their_plugin(tmp_path, monkeypatch):
    sets = datasets()
    for one in sets:
        one.compress(RLELossless)
    np.testing.assert_array_equal(read(tmp_path / "rle", sets).data, head())
    import pydicom.pixels
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(type(decoder), "is_available", False)
    with pytest.raises(VolumeError, match="compressed as RLE Lossless: pip install pylibjpeg"):
        read_dicom(sorted((tmp_path / "rle").iterdir()))


def test_a_decoder_that_fails_or_does_not_exist_is_named(tmp_path):
    """Pillow is there and reads no JPEG of 12 bits; pydicom decodes no video."""
    from pydicom.data import get_testdata_file
    film = get_testdata_file("JPGExtended.dcm", read=True)
    film.ImageOrientationPatient, film.ImagePositionPatient, film.PixelSpacing = [1, 0, 0, 0, 1, 0], [0, 0, 0], [1, 1]
    with pytest.raises(VolumeError, match=r"damaged or truncated: .*, or JPEG Extended .* needs another decoder; pip "):
        read(tmp_path / "12_bits", [film])
    film.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(VolumeError, match="compressed as MPEG2 .*, which pydicom cannot decode"):
        read(tmp_path / "video", [film])


def test_a_mosaic_is_a_reason(tmp_path):
    with pytest.raises(VolumeError, match="a mosaic, all slices in one image"):
        read(tmp_path, datasets(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])[:1])
