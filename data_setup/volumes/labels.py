"""The table of labels: class by path, or by subject and, where the table has it, session."""

import re
from dataclasses import replace
from pathlib import Path

from data_setup.clinical.columns import COLUMNS
from data_setup.clinical.sessions import normal, plain, session_in_id
from data_setup.subjects.archive_ids import canonical_id
from data_setup.subjects.path_tables import column_index, is_missing, match_paths
from data_setup.subjects.text_tables import read_text_table
from data_setup.volumes.discover import Source
from functions.runtime.errors import UserError, printable

UNKNOWN = "its subject is not known: name the file or its folder like sub-01, or give a table with path and subject"


class Labels:
    """The classes of a table; `find` gives the class of a volume."""

    def __init__(self, file: Path):
        """Reads the table; UserError, with the file, for one without the needed columns or with an unusable class."""
        self.file = file
        header, rows = read_text_table(file)
        path, subject, session, klass = (column_index(file, header, COLUMNS[name], name)
                                         for name in ("path", "subject", "session", "class"))
        if klass is None or (path is None and subject is None):
            raise UserError(f"{file}: needs a column class and a column subject or path (its first row is "
                            f"{', '.join(header)[:200]})")
        rows = [row for row in rows if not is_missing(row[klass])]
        for name in {row[klass].strip() for row in rows}:
            if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith("."):
                raise UserError(f"{file}: the class {printable(name)!r} cannot be the name of a folder: rename it")
        self.paths = [(row[path], row[klass].strip(), _id(row, subject)) for row in rows
                      if path is not None and row[path].strip()]
        self.subjects: dict[str, list[tuple[str | None, str]]] = {}
        for row in rows:
            if subject is not None and not is_missing(row[subject]):
                cell = row[session] if session is not None else ""
                named = session_in_id(cell) or plain(cell) or session_in_id(row[subject])
                self.subjects.setdefault(canonical_id(row[subject]), []).append((named, row[klass].strip()))

    def find(self, sources: list[Source]) -> list[tuple[Source, str | None, str]]:
        """(the volume, its class or None, the reason if None): by its path, else subject and session, else subject.

        A row with a path and a subject gives the volume this subject. Sessions are compared without `ses-` and
        punctuation, ignoring case; the session of a DICOM series is its StudyDate.
        """
        places = [source.path for source in sources]
        rows = dict(zip(unique := list(dict.fromkeys(places)),
                        match_paths(unique, [row[0] for row in self.paths], self.file), strict=True))
        found = []
        for source in sources:
            row = rows[source.path]
            if row is not None:
                _, name, subject = self.paths[row]
                source = replace(source, subject=subject or source.subject)
            name, reason = (name, "") if row is not None else self._by_subject(source)
            if name and source.subject is None:
                name, reason = None, f"its subject is not known: add a column subject to {self.file.name}"
            found.append((source, name, reason))
        return found

    def _by_subject(self, source: Source) -> tuple[str | None, str]:
        if source.subject is None:
            return None, f"neither its path is in {self.file.name} nor is its subject known"
        known = self.subjects.get(source.subject) or self.subjects.get(re.sub("^sub-", "", source.subject))
        if not known:
            return None, f"no class for its subject in {self.file.name}"
        session = source.series.study[0] if source.series else source.session
        exact = {name for named, name in known if named and session and normal(named) == normal(session)}
        classes = exact or {name for _, name in known}
        if len(classes) == 1:
            return classes.pop(), ""
        return None, f"{self.file.name} has {len(classes)} classes for it: add a column session that tells them apart"


def unlabelled(sources: list[Source], name: str) -> list[tuple[Source, str | None, str]]:
    """What `Labels.find` gives, with the one class `name` for every volume of a known subject."""
    return [(one, name, "") if one.subject else (one, None, UNKNOWN) for one in sources]


def _id(row: list[str], subject: int | None) -> str | None:
    return None if subject is None or is_missing(row[subject]) else canonical_id(row[subject])
