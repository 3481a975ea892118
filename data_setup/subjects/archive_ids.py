"""One canonical id per patient of a public archive, for every notation in file names, folders and tables.

Notations: ADNI and AIBL from LONI's download names and the BIDS ids that Clinica's converters write; OASIS-1 to -4 from
oasis-brains.org (OAS1_0001_MR1, OAS30001), Clinica (sub-OASIS10001) and users (OASIS1_0001); IXI from
brain-development.org (IXI002-Guys-0828-T1); NACC from the Researcher's Data Dictionary (NACC and six digits); PPMI
from LONI (PATNO). Sessions, visits, acquisitions and slices are removed, so that a patient has one id.
"""

import re
import unicodedata
from collections.abc import Callable

_START = r"(?<![A-Za-z0-9])"
_END = r"(?![A-Za-z0-9])"


def _adni(match: re.Match) -> str:
    return f"{match['site']}_S_{match['number']}"


def _oasis(match: re.Match) -> str:
    release, number = match["release"], match["number"]
    return f"OAS{release}_{number}" if release in "12" else f"OAS{release}{number}"


_ADNI_NUMBER = r"(?P<site>\d{3})(?P<separator>[_-]?)S(?P=separator)(?P<number>\d{4,5})(?!\d)"

# (pattern, canonical id). Patterns ignore case, but for ADNI ids without the archive's name: 001_s_0001 may be a slice.
ARCHIVES: tuple[tuple[re.Pattern, Callable[[re.Match], str]], ...] = (
    (re.compile(rf"{_START}{_ADNI_NUMBER}"), _adni),                                     # 002_S_0295, sub-002S0295
    (re.compile(rf"{_START}ADNI[_-]?{_ADNI_NUMBER}", re.IGNORECASE), _adni),             # sub-ADNI002S0295
    (re.compile(rf"{_START}sub-(?P<site>\d{{3}})S(?P<number>\d{{4,5}})(?!\d)", re.IGNORECASE), _adni),
    (re.compile(rf"{_START}OAS(?P<release>[1-4])[_-]?(?P<number>\d{{4}})(?!\d)", re.IGNORECASE), _oasis),
    (re.compile(rf"{_START}sub-OASIS(?P<release>[1-4])(?P<number>\d{{4}})(?!\d)", re.IGNORECASE), _oasis),
    (re.compile(rf"{_START}OASIS[_-]?(?P<release>[12])[_-](?P<number>0\d{{3}})(?!\d)", re.IGNORECASE),   # no year: 0…
     _oasis),
    (re.compile(rf"{_START}AIBL[_-]?(\d{{1,4}}){_END}(?!\.\d)", re.IGNORECASE), lambda m: f"AIBL_{int(m[1])}"),
    (re.compile(rf"(?<!space-){_START}IXI[_-]?(\d{{3}}){_END}", re.IGNORECASE), lambda m: f"IXI{m[1]}"),
    (re.compile(rf"{_START}NACC[_-]?(\d{{6}})(?!\d)", re.IGNORECASE), lambda m: f"NACC{m[1]}"),
    (re.compile(rf"{_START}PPMI[_-]?([3-9]\d{{3}}|[1-9]\d{{4,5}}){_END}", re.IGNORECASE), lambda m: f"PPMI_{m[1]}"),
)
_LOWER_CASE_ADNI = re.compile(_ADNI_NUMBER, re.IGNORECASE)
_BIDS_SESSION = re.compile(r"(sub-[A-Za-z0-9]+)_ses-[A-Za-z0-9]+")
_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")


def archive_ids(text: str) -> set[str]:
    """The canonical ids of all archive patients in a file name, a folder name or an id."""
    return {canonical(match) for pattern, canonical in ARCHIVES for match in pattern.finditer(text)}


def is_archive_id(subject: str) -> bool:
    """Whether an id belongs to a public archive, and so identifies the same patient in every data set."""
    return archive_ids(subject) == {subject}


def canonical_id(subject: str) -> str:
    """The canonical form of an id from a table, a pattern or an older file.

    An archive's id loses its notation, session and acquisition; `sub-01_ses-2` loses the session; a number that a
    spreadsheet wrote as 12.0 becomes 12. Any other id is only normalised to Unicode's composed form (NFC).
    """
    text = unicodedata.normalize("NFC", subject.strip())
    found = archive_ids(text)
    if not found and (match := _LOWER_CASE_ADNI.fullmatch(text)):
        return _adni(match)
    if len(found) == 1:
        return found.pop()
    for shortened in (_BIDS_SESSION.fullmatch(text), _WHOLE_NUMBER.fullmatch(text)):
        if shortened:
            return shortened[1]
    return text
