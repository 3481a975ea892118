"""DICOM files grouped into series, and the fields of their headers that identify a patient.

A series is all files of one SeriesInstanceUID, wherever they are. The fields are counted by name; their values are not
kept, except the patient's ID and the study's date and UID, which only the key file contains.
"""

import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_setup.volumes.formats.packages import import_pydicom
from functions.runtime.errors import printable

# Tag → keyword of the Basic Application Level Confidentiality Profile (DICOM PS3.15, table E.1-1). Further names of
# persons (VR PN), dates, private fields, curves and overlays are added below.
CONFIDENTIAL = {int(line[:8], 16): line[9:] for line
                in Path(__file__).with_name("confidential.txt").read_text(encoding="utf-8").splitlines()
                if not line.startswith("#")}
NAMES_AND_DATES = ("PN", "DA", "DT")        # value representations
OVERLAY = {0x3000: "OverlayData", 0x4000: "OverlayComments"}
# How a file without the 128 bytes of a preamble begins: an element of group 2 or 8, of a number below 0x20.
BARE = tuple(bytes((group, 0, element, 0)) for group in (2, 8) for element in range(0x20))
NO_SCAN = ("SEG", "RTDOSE")                 # modalities of images made from a scan
DIRECTORY = "1.2.840.10008.1.3.10"          # SOP class of a DICOMDIR, which lists other files

Watch = Callable[[Sequence[Path]], Iterable[Path]]

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
    modality: str = "MR"
    birth_dates: set[str] = field(default_factory=set)      # as hashes


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: DICM at byte 128 (Part 10), a DICOM ending, or a first element without a preamble (files
    older than Part 10). OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(132)
    return (start[128:] == b"DICM" or start.startswith(BARE)
            or path.suffix.lower() in (".dcm", ".dicom", ".ima", ".acr"))


def read_series(paths: Sequence[Path], watch: Watch = iter) -> tuple[list[Series], list[tuple[Path, str]], Counter]:
    """(series sorted by patient, study and number; files left out with reasons; identifying fields by name).

    `watch` receives the paths and yields each of them, to show the progress. Files of two patients are two series, also
    if they have one UID.
    """
    if paths:       # warnings about invalid values would print them
        import_pydicom().config.settings.reading_validation_mode = import_pydicom().config.IGNORE
    series: dict[tuple[str, str], Series] = {}
    left_out, fields = [], Counter()
    for path in watch(paths):
        try:
            header = import_pydicom().dcmread(path, stop_before_pixels=True, force=True)
            names, reason = identifying_fields(header), _add(series, path, header)
        except Exception as error:      # pydicom raises many kinds for damaged files, with values in them
            reason = f"cannot be read as DICOM ({getattr(error, 'strerror', None) or type(error).__name__})"
            names = set()
        fields.update(names)
        if reason:
            left_out.append((path, reason))
    return sorted(series.values(), key=lambda one: (one.patient, one.study, one.number, one.uid)), left_out, fields


def identifying_fields(header) -> set[str]:
    """The names of the identifying fields with a value, in sequences too; all private fields as one name."""
    found = set()
    for element in (*getattr(header, "file_meta", ()), *header.iterall()):
        if not element.is_empty and (name := _identifying_name(element)):
            found.add(name)
    return found


def patient_of(header) -> str:
    """PatientID, else PatientName."""
    return str(header.get("PatientID", "") or header.get("PatientName", "")).strip()


def _identifying_name(element) -> str:
    """The name of an identifying field, "" for any other."""
    tag, keyword = element.tag, element.keyword
    if tag.is_private:
        return "" if tag.is_private_creator else "private fields"
    if tag.group in range(0x5000, 0x5100, 2):
        return "CurveData"
    if tag.group in range(0x6000, 0x6100, 2):
        return OVERLAY.get(tag.element, "")
    if tag in CONFIDENTIAL or element.VR in NAMES_AND_DATES or (tag.group, element.VR) == (0x32, "LO"):
        return keyword or CONFIDENTIAL.get(tag) or f"({tag.group:04x},{tag.element:04x})"
    return ""


def _add(series: dict[tuple[str, str], Series], path: Path, header) -> str:
    """Adds a file to its series; the reason if it has none."""
    uid, patient = str(header.get("SeriesInstanceUID", "")), patient_of(header)
    if getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID") == DIRECTORY:
        return "a DICOMDIR: the files that it lists are found without it"
    if "Rows" not in header:
        return ("DICOM without an image (a report, a structure or a presentation state)" if "SOPClassUID" in header
                else "not a DICOM file")
    if not uid:
        return "DICOM without SeriesInstanceUID: the series that it belongs to is not known"
    if header.get("Modality") in NO_SCAN:
        return f"of modality {header.Modality}: a segmentation or a dose, not a scan"
    if (uid, patient) not in series:
        description = str(header.get("SeriesDescription", "") or header.get("ProtocolName", "")
                          or "without description")
        series[uid, patient] = Series(
            uid, [], printable(description).strip(), int(header.get("SeriesNumber") or 0), patient,
            (str(header.get("StudyDate", "")), str(header.get("StudyInstanceUID", ""))),
            bool(header.get("ContrastBolusAgent")), str(header.get("BurnedInAnnotation", "")).upper() == "YES",
            str(header.get("Modality") or "MR"))
    series[uid, patient].files.append(path)
    if born := str(header.get("PatientBirthDate") or "").strip():
        series[uid, patient].birth_dates.add(hashlib.sha256(born.encode()).hexdigest())
    return ""
