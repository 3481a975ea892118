import pytest

from data_setup.volumes.inputs import find_inputs, prepare, with_subjects
from data_setup.volumes.new_ids import NewIds
from functions.runtime.errors import UserError
from tests.conftest import save_noise
from tests.data_setup.volumes.heads import SETTINGS, datasets, head, save_analyze, save_dicom, save_nifti


def names(arguments, text=None):
    return [source.name for source in find_inputs([str(argument) for argument in arguments], text).sources]


def test_files_folders_patterns_headers_and_dicomdir(tmp_path):
    first, second = (save_nifti(tmp_path / "a" / f"sub-01_{name}.nii.gz") for name in ("T1w", "FLAIR"))
    pair = save_analyze(tmp_path / "b" / "scan.img", head())
    files = save_dicom(tmp_path / "c", datasets())
    (tmp_path / "c" / "DICOMDIR").write_bytes(b"")
    image = tmp_path / "a" / "slice.png"
    save_noise(image)
    assert names([tmp_path / "a"]) == [first.name]                      # of a folder, one of each session
    assert names([first, tmp_path / "a" / "*FLAIR*", image]) == [second.name, first.name]      # of files, all
    assert names([tmp_path / "a"], "flair") == [second.name]
    assert names([pair.with_suffix(".hdr"), pair]) == ["scan.img"]
    for given in (files, [tmp_path / "c"], [tmp_path / "c" / "DICOMDIR"]):
        [source] = find_inputs([str(one) for one in given], None).sources
        assert len(source.files) == 30
    found = find_inputs([str(tmp_path)], None)
    assert {str(path) for path in (first, second, pair, *files)} < found.files
    assert str(image) not in found.files
    with pytest.raises(UserError, match="no such file"):
        names([tmp_path / "gone.nii"])


def test_a_patient_of_two_formats_is_one_patient(tmp_path):
    """As in an ADNI download: DICOM gets a new ID, so the NIfTI volume of the folder is left out."""
    nifti = save_nifti(tmp_path / "in/sub-01_ses-2_T1w.nii")
    save_dicom(tmp_path / "in/scan", datasets(patient="sub-01"))
    found = find_inputs([str(tmp_path / "in")], None)
    assert [bool(one.series) for one in found.sources] == [True]
    assert found.left_out[0][1].startswith("its patient has DICOM series too")
    assert len(find_inputs([str(tmp_path / "in"), str(nifti)], None).sources) == 2         # named by the user


def test_what_is_no_volume_has_a_reason(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "alone.hdr").write_bytes(b"x")
    (tmp_path / "in" / "text.dcm").write_text("x")
    inside = find_inputs([str(tmp_path / "in")], None)
    assert [reason for _, reason in inside.left_out] == ["alone.img is missing", "not a DICOM file"]
    named = find_inputs([str(tmp_path / "in" / "alone.hdr")], None)
    assert [reason for _, reason in named.faulty] == ["alone.img is missing"]
    assert (inside.faulty, named.left_out) == ([], [])


@pytest.mark.parametrize("dicom", [False, True])
def test_a_link_to_a_folder_is_named_or_beside_dicom_files_has_a_code(tmp_path, dicom):
    save_nifti(tmp_path / "other/sub-01_T1w.nii")
    save_nifti(tmp_path / "in/sub-02_T1w.nii")
    (tmp_path / "in/Doe").symlink_to(tmp_path / "other")
    if dicom:
        save_dicom(tmp_path / "in/scan", datasets()[:2])
    found = find_inputs([str(tmp_path / "in")], None)
    [(shown, reason)] = found.left_out
    assert reason.startswith("a link to a folder")
    assert (shown == f"{tmp_path}/in/Doe", found.unread) == (not dicom, [f"{tmp_path}/in/Doe"] * dicom)


def test_slices_have_names_subjects_and_facts(tmp_path):
    save_nifti(tmp_path / "sub-01_ses-2_T1w.nii")
    save_dicom(tmp_path / "c", datasets())
    (tmp_path / "bad.nii").write_text("x")
    found = find_inputs([str(tmp_path)], None)
    sources, _ = with_subjects(found.sources, None, None)
    prepared = prepare(sources, NewIds(None, sources), SETTINGS, None, tmp_path / "store", 1, lambda count: None)
    assert [place.rpartition("/")[2] for place, _ in prepared.faulty] == ["bad.nii"]
    assert prepared.subjects == ["sub-01"] * 3 + ["P0001"] * 3
    assert prepared.names[0].endswith("sub-01_ses-2_T1w.nii#z00")
    assert [(one["session"], one["axes"]) for one in prepared.facts.values()] == [("2", "RAS"), ("1", "LPS")]
    assert with_subjects(sources, None, "(?P<subject>ses-2)")[0][1].subject == "ses-2"
