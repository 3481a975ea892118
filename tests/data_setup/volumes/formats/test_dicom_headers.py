from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data_setup.volumes.formats.dicom_headers import identifying_fields, is_dicom, read_series
from tests.data_setup.volumes.heads import datasets, save_dicom

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
    assert identifying_fields(header) == {*PLANTED, "PerformingPhysicianName", "private fields"}


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
