"""Sessions of a patient in file names, folder names, ids and table cells."""

import re
from pathlib import PurePath

# A session in a file or folder name, innermost first; the last: the date folder of an ADNI download.
SESSIONS = (re.compile(r"(?<![A-Za-z0-9])ses-([A-Za-z0-9]+)"), re.compile(r"OAS[12]_\d{4}_(MR\d+)", re.IGNORECASE),
            re.compile(r"(?<![A-Za-z])(?:session|study|visit|timepoint|tp|ses)[_-]?(\d+)", re.IGNORECASE),
            re.compile(r"(?<![A-Za-z0-9])([mM]\d{2,3})(?![A-Za-z0-9])"),
            re.compile(r"^(\d{4}-\d{2}-\d{2})(?:_|$)"))
STUDY = re.compile(r"study", re.IGNORECASE)
DEEP = 4                  # trailing parts of a path in which a session is looked for


def session_of(path: str | PurePath) -> str | None:
    """The session in a relative path, innermost name first, as letters and digits; None without one."""
    for part in reversed(PurePath(path).parts):
        for pattern in SESSIONS:
            if match := pattern.search(part):
                return plain(match[1])
    return None


def session_in_path(path: str | PurePath, common: int = 0) -> str:
    """The `normal` session in the last names of a path; "" without one.

    The first `common` folders are those of all patients: a name such as study2 is there the name of the study.
    """
    parts = PurePath(path).parts
    return normal(session_of(PurePath(*(part for at, part in list(enumerate(parts))[-DEEP:]
                                        if at >= common or not STUDY.search(part)))))


def session_in_id(text: str) -> str | None:
    """The session in an id of BIDS or OASIS, such as MR1 in OAS1_0001_MR1; None without one."""
    return next((match[1] for pattern in SESSIONS[:2] if (match := pattern.search(text))), None)


def plain(session: str) -> str:
    """A session as letters and digits, without `ses-`."""
    return re.sub(r"[^A-Za-z0-9]", "", re.sub(r"^ses-", "", session.strip()))


def normal(session: str | None) -> str:
    """A session in the form that is compared: `MR1`, `ses-01` and `1` are "1"; `bl`, `M00` are "m0"; "" without one."""
    text = plain(session or "").lower()
    text = "m0" if text in ("bl", "sc", "scmri", "baseline") else text
    if match := re.fullmatch(r"m0*(\d+)", text):
        return f"m{match[1]}"
    match = re.fullmatch(r"(?:mr|visit|session|v)?0*(\d+)", text)
    return match[1] if match else text
