import itertools
from pathlib import Path

import pytest

from data_setup.volumes.discover import Source, choose_one_each, find_volumes, one_per_session
from functions.runtime.errors import UserError
from tests.data_setup.volumes.heads import datasets, head, save_analyze, save_dicom, save_nifti

RAW = "disc1/OAS1_0001_MR1/"


def source(name, subject="a1", session="1"):
    return Source((Path(name),), name, name, subject, session)


def test_bids_oasis_and_dicom_are_found_at_any_depth(tmp_path):
    bids = "study/sub-007/ses-2/anat/sub-007_ses-2_T1w.nii.gz"
    save_nifti(tmp_path / bids)
    save_nifti(tmp_path / "study/sub-007/ses-2/anat/sub-007_ses-2_T1w_mask.nii.gz")
    for name in ("RAW/OAS1_0001_MR1_mpr-1_anon", "PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc",
                 "FSL_SEG/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg"):
        save_analyze(tmp_path / f"{RAW}{name}.img", head())
    (tmp_path / "alone.hdr").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "brain.mgz").write_bytes(b"x")
    save_dicom(tmp_path / "export/PA0/ST0/SE0", datasets())
    found = find_volumes(tmp_path)
    assert [(one.subject, one.session) for one in found.sources[:3]] == [
        ("OAS1_0001", "MR1"), ("OAS1_0001", "MR1"), ("sub-007", "2")]
    assert (found.sources[3].subject, found.sources[3].path) == ("SECRET-42", "export/PA0/ST0/SE0")
    assert len(found.sources[3].files) == 30
    reasons = dict(found.left_out)
    assert reasons["alone.hdr"] == "alone.img is missing"
    assert found.others == ["brain.mgz"]
    assert sum("segmentation or a mask" in reason for reason in reasons.values()) == 2
    used, left_out, unclear = one_per_session(found.sources, None)
    assert [one.name[-11:] for one in used] == ["t88_gfc.img", "_T1w.nii.gz", "T1 MPRAGE"]
    assert (len(left_out), unclear) == (1, [])


def test_without_a_patient_id_the_folder_names_the_patient_and_another_modality_is_noted(tmp_path):
    for folder, patient in (("sub-07/ses-1", ""), ("patient_08", "ANONYMIZED"), ("x", "anonymous"),
                            ("patient_09", "12"), ("patient_10", "Anonymous^Patient"), ("patient_11", "anon1")):
        save_dicom(tmp_path / folder, datasets(patient=patient, PatientName="", Modality="CT")[:2])
    found = {one.path: one for one in find_volumes(tmp_path).sources}
    assert {path: one.subject for path, one in found.items()} == {
        "sub-07/ses-1": "sub-07", "patient_08": "patient_08", "x": None, "patient_09": "12",
        "patient_10": "patient_10", "patient_11": "anon1"}
    assert found["x"].notes == ("of modality CT, not MR",)


def test_one_volume_of_each_session_is_chosen_or_asked_for():
    t1, flair, gd = source("x_T1w.nii"), source("x_FLAIR.nii"), source("x_T1w_Gd.nii")
    assert one_per_session([flair, t1, gd], None)[0] == [t1]
    assert "named as FLAIR, not T1" in flair.notes
    assert gd.notes == ("with contrast agent",)
    again = source("y_T1w.nii")
    assert one_per_session([t1, again], None)[2] == [[t1, again]]
    assert one_per_session([t1, again], "y_t1")[0] == [again]
    used, left_out, unclear = one_per_session([t1, again, flair], "T1W")
    assert (used, len(left_out), unclear) == ([t1], 2, [])
    assert len(one_per_session([t1, source("z.nii", session="2")], None)[0]) == 2


@pytest.mark.parametrize("name", ["T1+C", "AX T1 +C", "T1C", "T1 C+ AX", "t1_mprage_KM", "T1 POST GAD", "sag t1 GD",
                                  "t1gd", "T1_post_contrast", "T1 with contrast", "sub-01_ce-gadolinium_T1w", "T1+CE"])
def test_usual_names_of_contrast_agents_are_known(name):
    assert "with contrast agent" in source(name).notes


@pytest.mark.parametrize("name", ["t1_mprage_sag", "sub-KM_T1w.nii", "T1 cor", "T1 pre contrast", "T1w_acq-c1",
                                  "sub-CE01_T1w", "ses-post_T1w.nii"])
def test_other_names_are_none(name):
    assert source(name).notes == ()


def test_the_patient_is_not_taken_for_the_sequence():
    for patient in ("patient1", "Subject1", "PAT1", "t12"):
        scan, flair = source(f"{patient}_T1.nii"), source(f"{patient}_FLAIR.nii")
        assert one_per_session([flair, scan], None)[0] == [scan]
        assert flair.notes == ("named as FLAIR, not T1",)
    for name in ("MP-RAGE", "sT1W_3D_TFE", "3DT1", "SAGT1", "t1_fl3d", "AX T1"):
        assert one_per_session([source(name), source("localizer")], None)[0] == [source(name)]


def test_of_several_matches_the_plain_scan_is_used_whatever_their_order():
    native, gd, derived = source("t1_iso"), source("t1_iso Gd"), source("derivatives/fmriprep/t1_iso_preproc")
    for group in itertools.permutations((native, gd, derived)):
        assert one_per_session(group, "t1")[0] == [native]
        assert one_per_session(group, "t1_iso gd")[0] == [gd]
        assert one_per_session(group, None)[0] == [native]
    assert one_per_session([derived], None)[0] == [derived]


def test_the_choice_lists_what_tells_the_volumes_of_a_session_apart():
    sources = [source(f"sub-{number}_ses-1_{end}", f"sub-{number}") for number in range(30)
               for end in ("run-1_T1w.nii", "run-2_T1w.nii", "dwi.nii")]
    with pytest.raises(UserError, match="30 sessions .*among: dwi.nii; run-1_T1w.nii; run-2_T1w.nii$"):
        choose_one_each(sources, None)
    paths = [Source((Path(path),), path, "T1.nii", "sub-01", "1") for path in ("sub-01/a/T1.nii", "sub-01/b/T1.nii")]
    with pytest.raises(UserError, match="among: a/T1.nii; b/T1.nii$"):
        choose_one_each(paths, None)


def test_a_link_to_a_folder_is_a_reason(tmp_path):
    save_nifti(tmp_path / "elsewhere/sub-01_T1w.nii")
    save_nifti(tmp_path / "study/sub-02_T1w.nii")
    (tmp_path / "study/sub-01").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "study/again").symlink_to(tmp_path / "study")
    found = find_volumes(tmp_path / "study")
    assert [one.subject for one in found.sources] == ["sub-02"]
    assert [(path, reason.partition(",")[0]) for path, reason in found.left_out] == [
        ("again", "a link to a folder"), ("sub-01", "a link to a folder")]
