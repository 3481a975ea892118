import numpy as np
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from data_setup.volumes.discover import find_volumes
from data_setup.volumes.formats.dicom_headers import CONFIDENTIAL, identifying_fields, is_dicom, read_series
from data_setup.volumes.formats.dicom_volume import read_dicom
from tests.data_setup.volumes.heads import datasets, head, save_dicom

PLANTED = {"PatientName": "Doe^Jane", "PatientID": "4711", "PatientBirthDate": "19500101", "PatientAddress": "Elm St 5",
           "ReferringPhysicianName": "Who^Dr", "InstitutionName": "St. Mary", "AccessionNumber": "A77", "StudyID": "9",
           "OtherPatientIDs": "x1", "PatientAge": "070Y", "PatientSex": "F", "StationName": "MR3",
           "PatientWeight": "70",
           "StudyDescription": "Doe, dementia?", "DeviceSerialNumber": "55", "ImageComments": "Jane", "StudyDate":
           "20200101", "OperatorsName": "Op", "RequestingPhysician": "R", "MedicalRecordLocator": "m",
           "PatientTelephoneNumbers": "123", "EthnicGroup": "e", "Occupation": "o", "PatientComments": "c",
           "ClinicalTrialSubjectID": "t", "ResponsibleOrganization": "h", "ReferringPhysicianAddress": "r",
           "PatientInstitutionResidence": "i", "AdmittingDate": "20200101", "AdmittingDiagnosesDescription": "d"}


def test_every_planted_field_is_found_by_name_in_sequences_and_private_fields_too():
    header = Dataset()
    assert identifying_fields(header) == set()
    for name, value in PLANTED.items():
        setattr(header, name, value)
    inner = Dataset()
    inner.PerformingPhysicianName = "In^Ner"
    header.ReferencedStudySequence = Sequence([inner])
    header.private_block(0x0029, "MAKER", create=True).add_new(1, "LO", "Jane Doe")
    header.Rows, header.PatientBirthTime, header.PatientPosition = 5, "", "HFS"
    header.ImagePositionPatient, header.ImageOrientationPatient = [1, 2, 3], [1, 0, 0, 0, 1, 0]
    assert identifying_fields(header) == {*PLANTED, "PerformingPhysicianName", "ReferencedStudySequence",
                                           "private fields"}


def test_every_element_of_the_confidentiality_profile_is_found():
    values = {"SQ": Sequence([Dataset()]), "OB": b"ab", "UN": b"ab", "US": 5, "DS": "5", "IS": "5", "UI": "1.2.3",
              "DA": "20200101", "TM": "1200", "DT": "20200101120000", "AS": "070Y"}
    known = {tag: keyword_for_tag(tag) for tag in CONFIDENTIAL if keyword_for_tag(tag) and tag >> 16 != 2}
    assert len(known) > 600
    for tag, keyword in known.items():
        header = Dataset()
        header.add_new(tag, dictionary_VR(tag), values.get(dictionary_VR(tag), "ABC"))
        outer = Dataset()
        outer.PlanePositionSequence = Sequence([header])
        for nested in (header, outer):
            assert identifying_fields(nested) == {keyword}, keyword
    header = Dataset()
    header.add_new(0x50003000, "OW", b"ab")
    header.add_new(0x60003000, "OW", b"ab")
    header.add_new(0x60004000, "LT", "Jane")
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    assert identifying_fields(header) == {"CurveData", "OverlayData", "OverlayComments", "MediaStorageSOPInstanceUID"}


def test_files_of_two_patients_are_two_series_and_damaged_fields_do_not_end_the_run(tmp_path):
    paths = save_dicom(tmp_path / "a", datasets(SeriesInstanceUID="1.2"))
    paths += save_dicom(tmp_path / "b", datasets(head(1), patient="B", SeriesInstanceUID="1.2"))
    [odd] = save_dicom(tmp_path / "c", datasets(SeriesInstanceUID="1.3")[:1])
    odd.write_bytes(odd.read_bytes().replace(b"IS\x02\x003 ", b"IS\x02\x00DO"))
    series, left_out, _ = read_series([*paths, odd])
    assert [(one.patient, len(one.files)) for one in series] == [("B", 30), ("SECRET-42", 30)]
    assert left_out == [(odd, "cannot be read as DICOM (ValueError)")]


def test_segmentations_and_files_without_a_series_are_left_out(tmp_path):
    paths = save_dicom(tmp_path, [*datasets(Modality="SEG")[:1], *datasets(SeriesInstanceUID="")[:1]])
    series, left_out, _ = read_series(paths)
    assert series == []
    assert [reason for _, reason in left_out] == [
        "of modality SEG: a segmentation or a dose, not a scan",
        "DICOM without SeriesInstanceUID: the series that it belongs to is not known"]


def test_series_are_told_apart_wherever_their_files_are(tmp_path):
    first, second = (datasets(description=name, SeriesNumber=number, StudyInstanceUID="1.2")
                     for name, number in (("T1 MPRAGE", 3), ("FLAIR", 1)))
    for number, one in enumerate([*first, *second]):
        save_dicom(tmp_path / f"{number % 3}", [one], f"IM{number}" + ".dcm" * (number % 2))
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    (tmp_path / "text.dcm").write_text("no image")
    paths = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert all(is_dicom(path) for path in paths)
    series, left_out, fields = read_series(paths)
    assert [(one.description, one.number, len(one.files)) for one in series] == [("FLAIR", 1, 30), ("T1 MPRAGE", 3, 30)]
    assert {path.name for path, _ in left_out} == {"bad.dcm", "text.dcm"}
    assert fields["PatientName"] == 60
    assert "Doe" not in "".join(reason for _, reason in left_out)


def test_files_without_preamble_and_ending_are_read(tmp_path):
    for name, group_2 in (("bare", False), ("meta", True)):
        for number, one in enumerate(datasets(head(1), SeriesInstanceUID=f"1.2.{group_2:d}")):
            path = tmp_path / name / f"IM{number:02d}"
            path.parent.mkdir(exist_ok=True)
            if not group_2:
                del one.file_meta
            one.save_as(path, implicit_vr=None if group_2 else True, little_endian=None if group_2 else True)
            assert path.read_bytes()[128:132] != b"DICM"
    (tmp_path / "README").write_text("no image")
    found = find_volumes(tmp_path)
    assert [len(one.files) for one in found.sources] == [30, 30]
    for one in found.sources:
        np.testing.assert_array_equal(read_dicom(list(one.files)).data, head(1))
