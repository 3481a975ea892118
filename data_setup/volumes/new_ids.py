"""New IDs for the patients and sessions of DICOM files; which is which stands in a key file that can be kept apart."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_setup.subjects.find import find_subjects
from data_setup.subjects.text_tables import read_text_table
from data_setup.volumes.discover import Source
from functions.runtime.errors import UserError

COLUMNS = ("subject", "session", "original_subject", "original_session", "place", "original_place")


class NewIds:
    """The key: (original subject, original session) ↔ new ones, kept from run to run.

    A new subject is P and four digits; the numbers are in random order, so that they say nothing of names or dates.
    The sessions of a patient are numbered in the order of their dates.
    """

    def __init__(self, file: Path | None, sources: Sequence[Source]):
        """Extends a key, if `file` exists, to all DICOM `sources`; UserError for a file that is not a key."""
        rows = []
        if file is not None and file.exists():
            header, rows = read_text_table(file)
            if tuple(header) != COLUMNS:
                raise UserError(f"{file} is not a key file of this tool: name another one with --key")
        self.subjects = {row[2]: row[0] for row in rows if row[2]}
        self.sessions = {(row[2], row[3]): row[1] for row in rows if row[3]}
        dicom = [source for source in sources if source.series and source.subject]
        new = sorted({source.subject for source in dicom} - set(self.subjects))
        free = [f"P{number:04d}" for number in range(1, len(self.subjects) + len(new) + 1)
                if f"P{number:04d}" not in self.subjects.values()]
        secrets.SystemRandom().shuffle(free)
        self.subjects |= dict(zip(new, free, strict=False))
        for subject, session in sorted({(source.subject, source.session) for source in dicom} - set(self.sessions)):
            count = sum(one == subject for one, _ in self.sessions)
            self.sessions[subject, session] = str(count + 1)

    def table(self, sources: Sequence[Source], files: Sequence[str] = ()) -> pd.DataFrame:
        """The key: a row for every DICOM series, and for every DICOM file (`files`) that was left out."""
        rows = [(self.subjects.get(source.subject, ""), self.sessions.get((source.subject, source.session), ""),
                 source.subject or "", source.session or "", place(source), source.path)
                for source in sources if source.series]
        known = {row[2:4] for row in rows}
        rows += [(self.subjects[subject], session, subject, original, "", "")
                 for (subject, original), session in self.sessions.items() if (subject, original) not in known]
        rows += [("", "", "", "", code(file), file) for file in files]
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)


def without_second_ids(sources: Sequence[Source]) -> tuple[list[Source], list[tuple[Source, str]]]:
    """(volumes used, volumes left out with the reason): NIfTI and Analyze volumes of patients with DICOM series.

    They keep their names' IDs while DICOM gets new ones, so that a split would take one patient for two.
    """
    dicom = {label(source.subject) for source in sources if source.series and source.subject}
    second = [source for source in sources if not source.series and label(source.subject or "") in dicom]
    dropped = {id(source) for source in second}
    return [source for source in sources if id(source) not in dropped], [
        (source, "its patient has DICOM series too, which get a new ID: give all volumes of a patient in one format")
        for source in second]


def doubtful(sources: Sequence[Source], ids: NewIds) -> list[str]:
    """A note on the new IDs of DICOM patients whose headers have several birth dates."""
    born: dict[str, set[str]] = {}
    for source in sources:
        if source.series and source.subject:
            born.setdefault(ids.subjects[source.subject], set()).update(source.series.birth_dates)
    several = sorted(subject for subject, dates in born.items() if len(dates) > 1)
    return [f"CHECK: the headers of {', '.join(several)} have several birth dates: are these two patients with one ID? "
            "They count as one; --labels with path and subject tells them apart"] if several else []


def place(source: Source) -> str:
    """What stands for a volume in the manifest: its path, of DICOM a code that the key file resolves."""
    return code(f"{source.path} {source.series.uid} {source.series.patient}") if source.series else source.path


def code(path: str) -> str:
    """What stands for the path of a DICOM file, which may contain a name."""
    return f"dicom-{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:12]}"


def label(subject: str) -> str:
    """The subject as in BIDS names: `sub-` and letters and digits, for instance sub-OAS10001."""
    return "sub-" + re.sub(r"[^A-Za-z0-9]", "", re.sub(r"^sub-", "", subject))


def check_labels(subjects: Sequence[str]) -> None:
    """UserError unless the labels are all different and will be recognised as patients in file names."""
    first: dict[str, str] = {}
    for subject in dict.fromkeys(subjects):
        name = label(subject)
        if (other := first.setdefault(name, subject)) != subject:
            raise UserError(f"the subjects {other} and {subject} would both be named {name}: rename one")
        if find_subjects([f"{name}_ses-1_z00.png"])[0] is None:
            raise UserError(f"the subject {subject} would be named {name}, which has no digit and would not be "
                            "recognised as a patient: give it an ID with a number, in a column subject beside path")
