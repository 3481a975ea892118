"""The table of labels: the class of a volume and what else it says, by path, or by subject and session."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_setup.clinical.describe import describe, matched_rows, subject_keys
from data_setup.clinical.sessions import normal
from data_setup.clinical.table import Row, read_clinical_table
from data_setup.volumes.discover import Source
from functions.runtime.errors import UserError, printable

UNKNOWN = "its subject is not known: name the file or its folder like sub-01, or give a table with path and subject"
UNLABELLED = "unlabelled"       # the class of volumes without a table of labels, and the folder of their slices
CARRIED = ("age", "sex", "site", "scanner")         # beside the class, from the table to the manifest


class Labelled(NamedTuple):
    """A volume, its class (None: it is left out, for the reason), and what the table says of CARRIED, if it does."""

    source: Source
    klass: str | None
    reason: str = ""
    known: dict[str, str | float] = {}


class Labels:
    """The classes of a table; `find` gives the class of a volume, and adds to `notes` what stays unknown."""

    def __init__(self, file: Path):
        """Reads the table as `read_clinical_table`; UserError, with the file, for one without classes as well, and for
        a class that cannot name a folder.
        """
        self.table = read_clinical_table(file)
        if not self.table.has_class:
            raise UserError(f"{file}: needs a column class (or diagnosis, group, CDR, …)")
        for name in sorted({str(row.values["class"]) for row in self.table.rows if row.values["class"]}):
            if not name.isprintable() or set(name) & set('/\\:*?"<>|') or name.startswith(".") or name == UNLABELLED:
                raise UserError(f"{file}: the class {printable(name)!r} cannot be the name of a folder: rename it")
        self.notes = list(self.table.notes)
        self.rows: dict[str, list[Row]] = {}
        for row in self.table.rows:
            if row.subject:
                self.rows.setdefault(row.subject, []).append(row)

    def find(self, sources: Sequence[Source]) -> list[Labelled]:
        """The class of each volume: by its path, else subject and session, else subject.

        A row with a path and a subject gives the volume this subject. Sessions are compared as `sessions.normal`; the
        session of a DICOM series is its StudyDate. Columns CARRIED follow from the same rows (`describe`).
        """
        own = matched_rows(self.table, [_place(source) for source in sources])
        found = []
        for source, row in zip(sources, own, strict=True):
            source = replace(source, subject=row.subject or source.subject) if row else source
            klass = row.values["class"] if row else None
            name, reason = (str(klass), "") if klass else self._by_subject(source)
            if name and source.subject is None:
                name, reason = None, f"its subject is not known: add a column subject to {self.table.file.name}"
            found.append(Labelled(source, name, reason))
        asked = {key for one in found if one.source.subject
                 for key in subject_keys(one.source.subject, self.table.by_rid)}
        if absent := sum(subject not in asked for subject in self.rows):
            self.notes.append(f"{self.table.file}: {absent:,} of its {len(self.rows):,} patients have no volumes")
        return self._with_known(found, own)

    def _by_subject(self, source: Source) -> tuple[str | None, str]:
        file = self.table.file.name
        if source.subject is None:
            return None, f"neither its path is in {file} nor is its subject known"
        known = [(row, str(row.values["class"])) for row in self._rows(source.subject) if row.values["class"]]
        if not known:
            return None, f"no class for its subject in {file}"
        exact = {name for row, name in known if row.is_of(_session(source))}
        classes = exact or {name for _, name in known}
        if len(classes) == 1:
            return classes.pop(), ""
        return None, f"{file} has {len(classes)} classes for it: add a column session that tells them apart"

    def _rows(self, subject: str | None) -> list[Row]:
        keys = subject_keys(subject, self.table.by_rid) if subject is not None else []
        return next((self.rows[key] for key in keys if key in self.rows), [])

    def _with_known(self, found: list[Labelled], own: Sequence[Row | None]) -> list[Labelled]:
        used = [at for at, one in enumerate(found) if one.klass]
        columns = [name for name in CARRIED if name in self.table.columns]
        if not used or not columns:
            return found
        sources = [found[at].source for at in used]
        places = [_place(one) if own[at] or not _session(one) else f"{_place(one)}/ses-{_session(one)}"
                  for at, one in zip(used, sources, strict=True)]
        said = describe(self.table, places, [one.subject for one in sources], needs_class=False).table
        for at, values in zip(used, said[columns].to_dict("records"), strict=True):
            found[at] = found[at]._replace(known={name: value for name, value in values.items() if value == value
                                                  and value is not None})
        for name in columns:
            lost = {found[at].source.subject for at in used if name not in found[at].known
                    and any(row.values[name] is not None for row in self._rows(found[at].source.subject))}
            if lost:
                self.notes.append(f"{self.table.file}: the {name} of {len(lost)} patients is unknown: their rows "
                                  "differ, and neither a session nor the date of the images tells which one holds")
        return found


def unlabelled(sources: Sequence[Source]) -> list[Labelled]:
    """What `Labels.find` gives, with the class UNLABELLED for every volume of a known subject."""
    return [Labelled(one, UNLABELLED) if one.subject else Labelled(one, None, UNKNOWN) for one in sources]


def _place(source: Source) -> str:
    """The path of a volume's file, or the folder of a series, from the working directory."""
    return os.path.commonpath([path.parent for path in source.files]) if source.series else str(source.files[0])


def _session(source: Source) -> str:
    return normal(source.series.study[0] if source.series else source.session)
