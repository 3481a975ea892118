import pytest

from data_setup.clinical.sessions import normal, session_in_id, session_of

RAW = "disc1/OAS1_0001_MR1/"


@pytest.mark.parametrize(("path", "session"), [
    ("sub-01/ses-M024/anat/sub-01_ses-M024_T1w.nii.gz", "M024"), ("sub-01/anat/sub-01_T1w.nii", None),
    (RAW + "RAW/OAS1_0001_MR1_mpr-1_anon.img", "MR1"), ("patient01_study2_T1W.nii.gz", "2"),
    ("ADNI/002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_x.nii", "20060418"), ("a/m12/t1.nii", "m12")])
def test_sessions_in_names(path, session):
    assert session_of(path) == session


@pytest.mark.parametrize("same", [("MR1", "ses-01", "1", "visit1", "V01"), ("bl", "M00", "ses-M000"), ("m06", "M006"),
                                  ("2006-04-18", "20060418"), (None, "", "ses-")])
def test_notations_of_one_session_are_equal(same):
    assert len({normal(one) for one in same}) == 1


def test_other_sessions_differ():
    assert len({normal(one) for one in ("MR1", "MR2", "m06", "m12", "bl", "20060418", "")}) == 7


def test_ids_that_hold_a_session():
    assert session_in_id("OAS1_0001_MR2") == "MR2"
    assert session_in_id("sub-01_ses-b") == "b"
    assert session_in_id("002_S_0295") is None
