
import pandas as pd
import pytest

from data_setup.clinical.describe import describe, subject_keys
from data_setup.clinical.table import read_clinical_table
from functions.runtime.errors import UserError

PATHS = [f"d/sub-{k:02d}_ses-{s}_z0.png" for k in (1, 2, 3) for s in (1, 2)]
SUBJECTS = [f"sub-{k:02d}" for k in (1, 2, 3) for s in (1, 2)]


def said(tmp_path, text, paths=PATHS, subjects=SUBJECTS, needs_class=True):
    (tmp_path / "t.csv").write_text(text)
    return describe(read_clinical_table(tmp_path / "t.csv"), paths, subjects, needs_class)


def column(found, name):
    return [None if pd.isna(value) else value for value in found.table[name]]


def test_a_patient_s_row_is_about_all_its_slices(tmp_path):
    found = said(tmp_path, "subject,class,age,sex,site\nsub-01,AD,70,F,A\n2,CN,71,M,B\n9,CN,80,M,B\n")
    assert column(found, "class") == ["AD", "AD", "CN", "CN", None, None]
    assert column(found, "age") == [70, 70, 71, 71, None, None]
    assert column(found, "site") == ["A", "A", "B", "B", None, None]
    assert any("2 of 6 images have no row, the first d/sub-03_ses-1_z0.png" in note for note in found.notes)
    assert any("1 of its 3 patients have no images, the first 9" in note for note in found.notes)
    assert found.faults == []


def test_sessions_tell_classes_and_ages_apart(tmp_path):
    head = "participant_id,session_id,diagnosis,age,sex\n"
    found = said(tmp_path, head + "sub-01,ses-1,CN,70,F\nsub-01,ses-02,AD,73,F\nsub-02,ses-1,CN,60,M\n")
    assert column(found, "class") == ["CN", "AD", "CN", "CN", None, None]      # a single row counts for all sessions
    assert column(found, "age")[:4] == [70, 73, 60, 60]
    found = said(tmp_path, head + "sub-01,7,CN,70,F\nsub-01,8,CN,73,F\n")
    assert column(found, "class")[:2] == ["CN", "CN"]
    assert column(found, "age")[:2] == [None, None]
    assert any("the age of 1 patients (sub-01) is unknown" in note for note in found.notes)


def test_two_classes_that_nothing_tells_apart_are_refused_where_they_are_needed(tmp_path):
    for text in ("subject,class\nsub-01,AD\nsub-01,CN\n", "subject,session,class\nsub-01,7,AD\nsub-01,8,CN\n",
                 "subject,session,class\nsub-01,1,AD\nsub-01,1,CN\n"):
        with pytest.raises(UserError, match=r"1 patients \(sub-01\) of the images have several classes, sub-01 AD and"):
            said(tmp_path, text)
        assert column(said(tmp_path, text, needs_class=False), "class")[0] is None


def test_contradictions_are_counted_and_named_and_their_values_are_unknown(tmp_path):
    found = said(tmp_path, "subject,class,age,sex,scanner\nsub-01,AD,70,F,X\nsub-01,AD,75,M,X\nsub-02,CN,60,M,X\n"
                 "sub-02,CN,60.5,M,Y\n")
    assert column(found, "age") == [None, None, 60.25, 60.25, None, None]
    assert column(found, "sex") == [None, None, "M", "M", None, None]
    assert column(found, "scanner") == ["X", "X", None, None, None, None]
    assert len(found.faults) == 3
    assert "1 patients have two sexes, the first sub-01 (F and M)" in found.faults[0]
    assert "more than 1 year apart in one session, the first sub-01 (70 and 75)" in found.faults[1]
    assert "two scanners in one session, the first sub-02 (X and Y)" in found.faults[2]


def test_a_row_of_an_image_comes_before_those_of_its_patient(tmp_path):
    rows = "".join(f"sub-{k:02d}_ses-{s}_z0.png,{'AD' if s == 1 else 'CN'},{60 + k + s}\n"
                   for k in (1, 2, 3) for s in (1, 2))
    found = said(tmp_path, "file,class,age\n" + rows)
    assert column(found, "class") == ["AD", "CN"] * 3
    assert column(found, "age") == [62, 63, 63, 64, 64, 65]
    assert found.faults == []
    paths = [path.replace("ses-2", "ses-1").replace("z0", "z1") if "ses-2" in path else path for path in PATHS]
    found = said(tmp_path, "file,class\n" + "".join(f"{path},{'AD' if 'z0' in path else 'CN'}\n" for path in paths),
                 paths)
    assert column(found, "class") == ["AD", "CN"] * 3
    assert "3 patients have two classes in one session, the first sub-01 (AD and CN)" in found.faults[0]


def test_rids_name_patients_of_adni_and_aibl(tmp_path):
    assert "295" in subject_keys("002_S_0295", True)
    assert "295" not in subject_keys("002_S_0295", False)
    found = said(tmp_path, "RID,PTGENDER\n295,2\n7,1\n", ["a.png", "b.png"], ["002_S_0295", "AIBL_7"], False)
    assert column(found, "sex") == ["F", "M"]
    found = said(tmp_path, "Subject,Sex\n7,M\n2,F\n3101,M\n", list("abc"), ["AIBL_7", "IXI002", "PPMI_3101"], False)
    assert column(found, "sex") == ["M", "F", "M"]              # at LONI and in IXI.xls the number alone is the id
    with pytest.raises(UserError, match="may be 002_S_0295 or 003_S_0295"):
        said(tmp_path, "RID,PTGENDER\n295,2\n", ["a.png", "b.png"], ["002_S_0295", "003_S_0295"], False)


def test_a_table_about_other_patients_is_refused(tmp_path):
    with pytest.raises(UserError, match="none of its 1 rows is about one of the 6 images: .* x1, the first image is"):
        said(tmp_path, "subject,age\nx1,70\n")
    with pytest.raises(UserError, match="give --subjects or --subject_pattern"):
        said(tmp_path, "subject,age\nx1,70\n", subjects=[None] * 6)


def test_a_study_of_all_patients_is_no_session(tmp_path):
    """study2 may be the name of the study; of one patient's images, and below it, it is a session."""
    rows = "subject,visit,class,age\n1,1,CN,70\n1,2,AD,73\n2,1,CN,70\n2,2,AD,73\n"
    for paths in (["/data/study2/sub-01_z1.png", "/data/study2/sub-02_z1.png"],
                  ["/data/study2/train/sub-01_z1.png", "/data/study2/test/sub-02_z1.png"]):
        with pytest.raises(UserError, match="several classes, sub-01 AD and CN"):
            said(tmp_path, rows, paths, ["sub-01", "sub-02"])
    for folder in ("ses-2", "visit2", "M02"):                 # of images of one visit alone
        table = rows.replace(",2,AD", ",m02,AD") if folder == "M02" else rows
        found = said(tmp_path, table, [f"/data/{folder}/sub-0{k}_z1.png" for k in (1, 2)], ["sub-01", "sub-02"])
        assert column(found, "class") == ["AD", "AD"]
    below = ["/data/study1/sub-01_z1.png", "/data/study2/sub-02_z1.png"]
    assert column(said(tmp_path, rows, below, ["sub-01", "sub-02"]), "class") == ["CN", "AD"]
    assert column(said(tmp_path, rows, [below[1]] * 2, ["sub-02"] * 2), "class") == ["AD", "AD"]
