from collections import Counter

import pytest

from data_setup.listing.file_types import (
    DICOM_WITHOUT_ENDING,
    NO_ENDING,
    conversion_advice,
    ending,
    format_counts,
    is_document,
    is_image,
    is_litter,
)


def test_images_litter_and_documents_are_known_by_name_in_any_case():
    assert [is_image(name) for name in ("a.PNG", "b.jpeg", "c.eps", "png", "d.png.txt")] == [
        True, True, False, False, False]
    assert [is_litter(name) for name in ("@eaDir", "Thumbs.db", ".DS_Store", "Icon\r", "AD", "thumbs")] == [
        True, True, True, True, False, False]
    assert [is_document(name) for name in ("README.MD", "labels.csv", "a.dcm", "scan")] == [
        True, True, False, False]


@pytest.mark.parametrize(("name", "expected"), [("a.NII.gz", ".nii.gz"), ("b.dcm", ".dcm"), ("c.tar.gz", ".tar.gz"),
                                                ("d.gz", ".gz"), ("e", NO_ENDING), ("1.3.12.2", NO_ENDING),
                                                ("scan no. 5", NO_ENDING)])
def test_the_ending_of_a_file(tmp_path, name, expected):
    (tmp_path / name).write_bytes(b"short")
    assert ending(tmp_path / name) == expected


def test_dicom_is_known_by_its_content(tmp_path):
    (tmp_path / "IM1").write_bytes(bytes(128) + b"DICM...")
    assert ending(tmp_path / "IM1") == DICOM_WITHOUT_ENDING
    assert ending(tmp_path / "missing") == NO_ENDING


def test_the_commonest_ending_is_named_first_and_advised_on():
    endings = Counter({".txt": 1, ".dcm": 1200, ".zip": 3})
    assert format_counts(endings) == ".dcm 1,200, .zip 3, .txt 1"
    assert "DICOM" in conversion_advice(endings)
    assert "PNG" in conversion_advice({".heic": 1})
