"""DICOM files grouped into series, and the fields of their headers that identify a patient.

A series is all files of one SeriesInstanceUID, wherever they are. The fields are counted by name; their values are not
kept, except the patient's ID and the study's date and UID, which only the key file contains.
"""

import logging
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data_setup.volumes.packages import import_pydicom
from functions.runtime.errors import printable

# Fields of the Basic Application Level Confidentiality Profile (DICOM PS3.15, table E.1-1) that MR and CT headers have,
# beyond all names of persons (VR PN) and all dates and times of the patient.
IDENTIFYING = frozenset((
    "AccessionNumber", "AcquisitionComments", "AdditionalPatientHistory", "AdmissionID", "Allergies",
    "CountryOfResidence", "CurrentPatientLocation", "DeviceSerialNumber", "DetectorID", "DeviceUID", "EthnicGroup",
    "FillerOrderNumberImagingServiceRequest", "GantryID", "ImageComments", "InstitutionAddress",
    "InstitutionCodeSequence", "InstitutionName", "InstitutionalDepartmentName", "InsurancePlanIdentification",
    "IssuerOfPatientID", "MedicalAlerts", "MedicalRecordLocator", "MilitaryRank", "Occupation", "OtherPatientIDs",
    "OtherPatientIDsSequence", "PatientAddress", "PatientAge", "PatientComments", "PatientID",
    "PatientInsurancePlanCodeSequence", "PatientReligiousPreference", "PatientSex", "PatientSize",
    "PatientTelephoneNumbers", "PatientTelecomInformation", "PatientWeight", "PerformedProcedureStepDescription",
    "PerformedProcedureStepID", "PersonAddress", "PersonTelephoneNumbers", "PlacerOrderNumberImagingServiceRequest",
    "PregnancyStatus", "RegionOfResidence", "RequestAttributesSequence", "RequestedProcedureID", "RequestingService",
    "ScheduledProcedureStepID", "SmokingStatus", "SpecialNeeds", "StationName", "StudyComments", "StudyDescription",
    "StudyID", "PerformedStationName", "PatientState", "PatientBirthTime", "ProtocolName", "SeriesDescription",
    "StudyInstanceUID", "FrameOfReferenceUID", "InstanceCreatorUID", "PatientSpeciesDescription", "VisitComments",
    "IssuerOfAdmissionID", "ServiceEpisodeID", "TextString", "TextComments", "CurveData", "OverlayComments",
))
ABOUT_PERSONS = re.compile("Patient(?!Position|Orientation|Gantry)|Physician|Person|Institution|ClinicalTrial|"
                           "Responsible|Telephone|Address|Operator|Admi(?:tting|ssion)|Visit")
GEOMETRY = re.compile("Patient$")             # ImagePositionPatient
DATES = ("DA", "DT")                        # value representations of dates
DIRECTORY = "1.2.840.10008.1.3.10"          # SOP class of a DICOMDIR, which lists other files

warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\b")       # they may print values of fields
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@dataclass
class Series:
    """The files of one series, what they say about themselves, and their patient."""

    uid: str
    files: list[Path] = field(default_factory=list)
    description: str = ""
    number: int = 0
    patient: str = ""           # PatientID, else PatientName
    study: tuple[str, str] = ("", "")       # (StudyDate, StudyInstanceUID)
    contrast: bool = False
    burned_in: bool = False


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: DICM at byte 128 (Part 10), or a DICOM ending."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom", ".ima", ".acr")
    except OSError:
        return False


def read_series(paths: list[Path]) -> tuple[list[Series], list[tuple[Path, str]], Counter]:
    """(series sorted by patient, study and number; files left out with reasons; identifying fields by name)."""
    if paths:       # warnings about invalid values would print them
        import_pydicom().config.settings.reading_validation_mode = import_pydicom().config.IGNORE
    series: dict[str, Series] = {}
    left_out, fields = [], Counter()
    for path in paths:
        try:
            header = import_pydicom().dcmread(path, stop_before_pixels=True, force=True)
            names = identifying_fields(header)
            uid = str(header.get("SeriesInstanceUID", ""))
        except Exception as error:      # pydicom raises many kinds for damaged files, with values in them
            left_out.append((path, f"cannot be read as DICOM ({type(error).__name__})"))
            continue
        fields.update(names)
        if getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID") == DIRECTORY:
            left_out.append((path, "a DICOMDIR: the files that it lists are found without it"))
        elif not uid or "Rows" not in header:
            left_out.append((path, "DICOM without an image (a report, a structure or a presentation state)"
                             if "SOPClassUID" in header else "not a DICOM file"))
        else:
            _add(series.setdefault(uid, Series(uid)), path, header)
    return sorted(series.values(), key=lambda one: (one.patient, one.study, one.number, one.uid)), left_out, fields


def identifying_fields(header) -> set[str]:
    """The names of the identifying fields with a value, in sequences too; all private fields as one name."""
    found = set()
    for element in header.iterall():
        if element.value in (None, "", b"") or element.VR == "SQ" and not _is_identifying(element.keyword):
            continue
        if element.tag.is_private:
            found |= {"private fields"} if not element.tag.is_private_creator else set()
        elif element.VR == "PN" or element.VR in DATES or _is_identifying(element.keyword):
            found.add(element.keyword or f"({element.tag.group:04x},{element.tag.element:04x})")
        elif element.tag.group in range(0x5000, 0x5100, 2) or (element.tag.group, element.VR) == (0x0032, "LO"):
            found.add(element.keyword or "curve data")
    return found


def _is_identifying(keyword: str) -> bool:
    return keyword in IDENTIFYING or bool(ABOUT_PERSONS.search(keyword) and not GEOMETRY.search(keyword))


def _add(series: Series, path: Path, header) -> None:
    series.files.append(path)
    if len(series.files) > 1:
        return
    series.description = printable(str(header.get("SeriesDescription", "") or header.get("ProtocolName", "")
                                       or "without description")).strip()
    series.number = int(header.get("SeriesNumber") or 0)
    series.patient = str(header.get("PatientID", "") or header.get("PatientName", "")).strip()
    series.study = str(header.get("StudyDate", "")), str(header.get("StudyInstanceUID", ""))
    series.contrast = bool(header.get("ContrastBolusAgent"))
    series.burned_in = str(header.get("BurnedInAnnotation", "")).upper() == "YES"
