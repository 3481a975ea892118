import csv
from pathlib import Path

import pytest

from data_setup.volumes.discover import Source
from data_setup.volumes.formats.dicom_headers import Series
from data_setup.volumes.new_ids import NewIds, check_labels, doubtful, label, place, without_second_ids
from functions.runtime.csv_files import to_csv
from functions.runtime.errors import UserError


def dicom(patient, date):
    return Source((Path("x"),), f"{patient}_folder", "T1", patient, f"{date}/1.2", Series(f"1.{date}"))


def test_ids_are_new_and_stay_the_same_with_the_key(tmp_path):
    sources = [dicom("Doe", "2021"), dicom("Doe", "2019"), dicom("Poe", "2020")]
    first = NewIds(tmp_path / "key.csv", sources)
    assert sorted(first.subjects.values()) == ["P0001", "P0002"]
    assert (first.sessions["Doe", "2019/1.2"], first.sessions["Doe", "2021/1.2"]) == ("1", "2")
    (tmp_path / "key.csv").write_text(to_csv(first.table(sources)))
    more = NewIds(tmp_path / "key.csv", [dicom("Abe", "2018"), *sources[:1], dicom("Doe", "2010")])
    assert first.subjects.items() <= more.subjects.items()
    assert more.subjects["Abe"] == "P0003"
    assert more.sessions["Doe", "2010/1.2"] == "3"
    assert "Doe" not in place(sources[0])
    rows = list(csv.DictReader(to_csv(more.table([])).splitlines()))
    assert len(rows) == 5


def test_two_birth_dates_under_one_id_are_noted_by_the_new_id():
    sources = [dicom("Doe", "2021"), dicom("Doe", "2019"), dicom("Poe", "2020")]
    for source, born in zip(sources, ("a", "b", "b"), strict=True):
        source.series.birth_dates.add(born)
    ids = NewIds(None, sources)
    [note] = doubtful(sources, ids)
    assert f"the headers of {ids.subjects['Doe']} have several birth dates" in note
    assert doubtful(sources[1:], ids) == []


def test_a_patient_of_two_formats_has_one_id():
    """Two IDs would be two patients, possibly in different splits."""
    series = [dicom("003_S_0002", "2021"), dicom("01", "2021")]
    nifti = [Source((Path(name),), name, name, name, "1") for name in ("003_S_0002", "sub-01", "sub-02")]
    used, left_out = without_second_ids([*nifti, *series])
    assert used == [nifti[2], *series]
    assert [source for source, _ in left_out] == nifti[:2]
    assert "DICOM series too" in left_out[0][1]
    assert without_second_ids(nifti) == (nifti, [])


def test_the_order_of_the_numbers_says_nothing_of_names():
    sources = [dicom(f"n{number:02d}", "2020") for number in range(30)]
    assert sorted(ids := list(NewIds(Path("no key"), sources).subjects.values())) != ids


def test_labels_are_recognised_and_different():
    assert label("OAS1_0001") == "sub-OAS10001"
    check_labels(["OAS1_0001", "003_S_0002", "sub-001", "patient01", "patient01"])
    with pytest.raises(UserError, match="both be named sub-a1"):
        check_labels(["a_1", "a1"])
    with pytest.raises(UserError, match="no digit"):
        check_labels(["Anna"])


def test_another_file_is_no_key(tmp_path):
    (tmp_path / "key.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is not a key file"):
        NewIds(tmp_path / "key.csv", [])
