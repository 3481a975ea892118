"""Joins a clinical table to slices: what the table says of each, what contradicts itself, and what has no partner."""

import os.path
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import pandas as pd

from data_setup.clinical.sessions import session_in_path
from data_setup.clinical.table import DESCRIBING, ClinicalTable, Row
from data_setup.subjects.path_tables import match_paths
from functions.runtime.errors import UserError, printable

SAME_SESSION = 1.0        # years by which two ages in one session may differ


class Described(NamedTuple):
    """One row per slice with the columns DESCRIBING (None or nan: unknown); notes, and contradictions, a line each."""

    table: pd.DataFrame
    notes: list[str]
    faults: list[str]


class _Facts(NamedTuple):
    """The rows about one patient, and what is contradictory: sex, or (what, session)."""

    rows: list[Row]
    wrong: set[tuple[str, str]]


def matched_rows(table: ClinicalTable, paths: Sequence[str]) -> list[Row | None]:
    """The table's row of each path; None where it has none, as for all of a table without paths.

    Raises UserError if a row's path fits several files.
    """
    rows = [row for row in table.rows if row.path]
    if not rows or not paths:
        return [None] * len(paths)
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(str(row.path), row)
    unique = list(first)
    return [None if at is None else first[unique[at]] for at in match_paths(paths, unique, table.file)]


def describe(table: ClinicalTable, paths: Sequence[str], subjects: Sequence[str | None],
             needs_class: bool) -> Described:
    """What the table says of each slice, from its own row, else its session's rows, else its patient's.

    A value counts if the rows agree on it; ages of one session may differ by SAME_SESSION, and their mean is used.
    Contradictory values are unknown, and named. Raises UserError if nothing in the table matches a slice and, with
    `needs_class`, if the rows give a slice two classes.
    """
    own = matched_rows(table, paths)
    common = _common_folders(paths) if len(set(subjects)) > 1 else 0
    sessions = [row.session if row else session_in_path(path, common) for row, path in zip(own, paths, strict=True)]
    facts = _facts_of(table, own, subjects)
    if not any(own) and not facts:
        raise UserError(_nothing_message(table, paths, subjects))
    cache: dict[tuple[str | None, str], dict] = {}
    found = []
    for row, subject, session in zip(own, subjects, sessions, strict=True):
        if (subject, session) not in cache:
            cache[subject, session] = _of_session(facts.get(subject), session)
        found.append(_with_own(row, cache[subject, session], facts.get(subject)))
    if needs_class:
        _check_classes(table, found, paths, subjects)
    columns = pd.DataFrame(found, columns=list(DESCRIBING), dtype=object)
    columns["age"] = columns["age"].astype(float)
    notes = _without_partner(table, own, facts, paths, subjects)
    unclear = {subject for subject, one in zip(subjects, found, strict=True) if one["unclear"]}
    if unclear:
        notes.append(f"{table.file}: the age of {_some(unclear)} is unknown: the table has several sessions, and the "
                     "images' names do not say which; keep one row per patient")
    return Described(columns, notes, _faults(table, facts))


def _common_folders(paths: Sequence[str]) -> int:
    """How many folders all images have in common."""
    return len(os.path.commonprefix([PurePath(path).parts[:-1] for path in paths]))


def subject_keys(subject: str, by_rid: bool) -> list[str]:
    """What a patient of an image may be called in a table: the id, with and without `sub-`, a number without zeros
    before it (as spreadsheets write it), the number alone of AIBL, IXI and PPMI, or the RID of ADNI.
    """
    bare = re.sub("^sub-", "", subject)
    keys = [subject, bare, f"sub-{bare}", *([str(int(bare))] if re.fullmatch("[0-9]+", bare) else [])]
    archive = r"(?:\d{3}_S_|AIBL_|IXI|PPMI_)(\d+)" if by_rid else r"(?:AIBL_|IXI|PPMI_)(\d+)"
    if match := re.fullmatch(archive, subject):
        keys += [str(int(match[1])), match[1]]
    return keys


def _facts_of(table: ClinicalTable, own: Sequence[Row | None], subjects: Sequence[str | None]) -> dict[str, _Facts]:
    """The rows about each patient of the images: those with its id, and those of its images."""
    by_id = defaultdict(list)
    for row in table.rows:
        if row.subject:
            by_id[row.subject].append(row)
    claimed: dict[str, str] = {}
    rows_of: dict[str, dict[int, Row]] = defaultdict(dict)
    for subject in dict.fromkeys(one for one in subjects if one is not None):
        key = next((key for key in subject_keys(subject, table.by_rid) if key in by_id), None)
        if key is None:
            continue
        if claimed.setdefault(key, subject) != subject:
            raise UserError(f"{table.file}: its patient {printable(key)} may be {claimed[key]} or {subject}: write the "
                            "ids as in the names of the images")
        rows_of[subject].update((id(row), row) for row in by_id[key])
    for row, subject in zip(own, subjects, strict=True):
        if row is not None and subject is not None:
            rows_of[subject][id(row)] = row
    return {subject: _Facts(list(rows.values()), _conflicts(list(rows.values()))) for subject, rows in rows_of.items()}


def _conflicts(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """(what, session) of which the rows say two things; of the sex for the patient, as ("sex", "")."""
    wrong = {("sex", "")} if len(_values(rows, "sex")) > 1 else set()
    by_session = defaultdict(list)
    for row in rows:
        by_session[row.session].append(row)
    for session, inside in by_session.items():
        ages = _values(inside, "age")
        if ages and max(ages) - min(ages) > SAME_SESSION:
            wrong.add(("age", session))
        wrong |= {(name, session) for name in ("class", "site", "scanner") if len(_values(inside, name)) > 1}
    return wrong


def _values(rows: Sequence[Row], name: str) -> list:
    return list(dict.fromkeys(row.values[name] for row in rows if row.values.get(name) is not None))


def _of_session(facts: _Facts | None, session: str) -> dict:
    """What a patient's rows say of a session; `classes` are all classes if there are several, `unclear` of an age."""
    found: dict = {"classes": [], "unclear": False}
    if facts is None:
        return found
    inside = [row for row in facts.rows if row.is_of(session)]
    for name in DESCRIBING:
        known = _values(inside, name) or _values(facts.rows, name)
        if name == "age" and known and max(known) - min(known) <= SAME_SESSION:
            found["age"] = sum(known) / len(known)
        elif name == "age" and known:
            found["unclear"] = not any(what == "age" for what, _ in facts.wrong)
        elif len(known) == 1:
            found[name] = known[0]
        elif name == "class" and len(known) > 1 and (not inside or _values(inside, name)):
            found["classes"] = known
    return found


def _with_own(row: Row | None, of_session: dict, facts: _Facts | None) -> dict:
    """A slice's values: those of its own row first, but for what is contradictory."""
    found = dict(of_session)
    if row is not None:
        given = {name: value for name, value in row.values.items() if value is not None}
        if facts is not None:
            wrong = {name for name, where in facts.wrong if name == "sex" or where == row.session}
            given = {name: value for name, value in given.items() if name not in wrong or name == "class"}
        found |= given
        found["unclear"] &= "age" not in given
    if found.get("class") is not None:
        found["classes"] = []
    return found


def _check_classes(table: ClinicalTable, found: Sequence[dict], paths: Sequence[str],
                   subjects: Sequence[str | None]) -> None:
    """UserError if a slice has several classes, and no row of its own or session that decides."""
    wrong = [at for at, one in enumerate(found) if one["classes"]]
    if wrong:
        at = wrong[0]
        raise UserError(f"{table.file}: {_some({subjects[row] for row in wrong})} of the images have several classes, "
                        f"{printable(subjects[at])} {' and '.join(sorted(found[at]['classes']))}, and nothing tells "
                        f"which one {printable(PurePath(paths[at]).name)} has: keep one row per patient, or write a "
                        "column session as in the names of the images, or a column path")


def _faults(table: ClinicalTable, facts: dict[str, _Facts]) -> list[str]:
    """One line for each kind of contradiction: how many patients, and the first with its values."""
    messages = []
    plural = {"sex": "two sexes", "age": f"ages more than {SAME_SESSION:g} year apart in one session",
              "class": "two classes in one session", "site": "two sites in one session",
              "scanner": "two scanners in one session"}
    for name, text in plural.items():
        wrong = {subject: where for subject, one in facts.items() for what, where in sorted(one.wrong) if what == name}
        if not wrong:
            continue
        first = sorted(wrong)[0]
        rows = [row for row in facts[first].rows if name == "sex" or row.session == wrong[first]]
        shown = " and ".join(f"{value:g}" if name == "age" else printable(value) for value in _values(rows, name)[:3])
        end = "each image keeps its own row's class" if name == "class" else f"the {name} counts as unknown"
        messages.append(f"{table.file}: {len(wrong)} patients have {text}, the first {printable(first)} ({shown}): "
                        f"{end}")
    return messages


def _without_partner(table: ClinicalTable, own: Sequence[Row | None], facts: dict[str, _Facts], paths: Sequence[str],
                     subjects: Sequence[str | None]) -> list[str]:
    """Notes on images without rows, and on patients and files of the table without images."""
    lost = [path for path, row, subject in zip(paths, own, subjects, strict=True)
            if row is None and subject not in facts]
    notes = []
    if lost:
        notes.append(f"{table.file}: {len(lost):,} of {len(paths):,} images have no row, the first "
                     f"{printable(lost[0])}")
    used = {id(row) for one in facts.values() for row in one.rows} | {id(row) for row in own if row is not None}
    unused = [row for row in table.rows if id(row) not in used]
    patients = list(dict.fromkeys(row.subject for row in unused if row.subject))
    if patients:
        total = len({row.subject for row in table.rows if row.subject})
        notes.append(f"{table.file}: {len(patients):,} of its {total:,} patients have no images, the first "
                     f"{printable(patients[0])}")
    files = [row.path for row in unused if row.path and not row.subject]
    if files:
        notes.append(f"{table.file}: {len(files):,} of its files are not among the images, the first "
                     f"{printable(files[0])}")
    return notes


def _some(subjects: set) -> str:
    names = sorted(str(one) for one in subjects)
    return f"{len(names)} patients ({', '.join(map(printable, names[:3]))}{', …' * (len(names) > 3)})"


def _nothing_message(table: ClinicalTable, paths: Sequence[str], subjects: Sequence[str | None]) -> str:
    first = next((row.subject or row.path for row in table.rows), "")
    known = next((subject for subject in subjects if subject is not None), None)
    here = f"the first image is of patient {known}" if known else (
        f"no patient is known of the first image, {PurePath(paths[0]).name}: give --subjects or --subject_pattern, or "
        "a column path")
    return (f"{table.file}: none of its {len(table.rows):,} rows is about one of the {len(paths):,} images: its first "
            f"row is about {printable(first)}, {printable(here)}")
