from pathlib import Path

import pytest

from data_setup.volumes.discover import Source
from data_setup.volumes.formats.dicom_headers import Series
from data_setup.volumes.labels import Labels
from functions.runtime.errors import UserError


def source(path, subject, session=None):
    return Source((Path(path),), path, Path(path).name, subject, session)


def labels(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    return Labels(tmp_path / "labels.csv")


def test_by_path_by_subject_and_by_session(tmp_path):
    found = labels(tmp_path, "path,subject,diagnosis\nx/scan.nii,s9,AD\n,sub-01,CN\n").find(
        [source("x/scan.nii", None), source("a/sub-01_T1w.nii", "sub-01"), source("b.nii", "s7")])
    assert [(one.source.subject, one.klass) for one in found] == [("s9", "AD"), ("sub-01", "CN"), ("s7", None)]
    assert found[2].reason == "no class for its subject in labels.csv"
    table = labels(tmp_path, "subject,diagnosis\n1,CN\nsub-02,CN\n3,AD\n")
    table.find([source("a/sub-01_T1w.nii", "sub-01"), source("b/sub-02_T1w.nii", "sub-02")])
    assert table.notes[1].endswith("1 of its 3 patients have no volumes")
    visits = labels(tmp_path, "ID,Visit,CDR\n01,ses-1,0\n01,ses-2,0.5\n02,ses-1,1\n").find(
        [source("a", "sub-01", "2"), source("b", "sub-01", "3"), source("c", "sub-02", "3")])
    assert [one.klass for one in visits] == ["CDR 0.5", None, "CDR 1"]
    assert "2 classes" in visits[1].reason


def test_the_table_of_oasis_1(tmp_path):
    rows = "OAS1_0001_MR1,F,74,0.5\nOAS1_0001_MR2,F,74,\nOAS1_0002_MR1,F,20,N/A\n"
    found = labels(tmp_path, f"ID,M/F,Age,CDR\n{rows}").find(
        [source("a", "OAS1_0001", "MR1"), source("b", "OAS1_0002", "MR1")])
    assert [(one.klass, one.known) for one in found] == [("CDR 0.5", {"age": 74.0, "sex": "F"}), (None, {})]


def test_age_and_sex_follow_the_row_of_the_session_of_dicom_its_date(tmp_path):
    table = labels(tmp_path, "PTID,session,DXCURREN,age,sex,site\nDoe1,2020-01-02,3,70,F,A\nDoe1,2022-03-04,3,72,F,B\n")
    series = [Source((Path(f"in/{date}/1.dcm"),), date, "T1", "Doe1", f"{date}/1.2", Series("1.2", study=(date, "1.2")))
              for date in ("20200102", "20220304", "20230101")]
    assert [(one.klass, one.known) for one in table.find(series)] == [
        ("AD", {"age": 70.0, "sex": "F", "site": "A"}), ("AD", {"age": 72.0, "sex": "F", "site": "B"}),
        ("AD", {"sex": "F"})]
    assert [note.partition(": ")[2][:34] for note in table.notes[1:]] == [
        "the age of 1 patients is unknown: ", "the site of 1 patients is unknown:"]


def test_a_search_table_of_loni_tells_visits_apart_by_the_date_of_the_images(tmp_path):
    table = labels(tmp_path, "Image Data ID,Subject,Group,Sex,Age,Visit,Acq Date\nI1,002_S_0295,CN,M,84,sc,4/18/2006\n"
                   "I2,002_S_0295,MCI,M,86,m24,5/05/2008\n")
    found = table.find([source(f"{date}/I1/a.nii", "002_S_0295", date)
                        for date in ("20060418", "20080505", "20070101")])
    assert [(one.klass, one.known.get("age")) for one in found] == [("CN", 84.0), ("MCI", 86.0), (None, None)]
    assert len(table.notes) == 1            # of the volumes used, nothing is unknown


def test_a_path_may_be_written_from_the_working_directory_or_the_folder_of_volumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    volume = source("in/x/sub-01.nii", "sub-01")
    for path in ("x/sub-01.nii", "in/x/sub-01.nii", tmp_path / "in/x/sub-01.nii"):
        assert labels(tmp_path, f"path,class\n{path},AD\n").find([volume])[0].klass == "AD"


@pytest.mark.parametrize(("text", "message"), [("subject,age\na1,3\n", "needs a column class"),
                                               ("class,age\na,3\n", "needs a column subject"),
                                               ("subject,class\na1,AD/MCI\n", "cannot be the name of a folder"),
                                               ("subject,class\na1,unlabelled\n", "cannot be the name of a folder")])
def test_unusable_tables_are_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        labels(tmp_path, text)
