"""Reads a clinical table: one row a patient, a session or an image; every value is checked."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from data_setup.clinical import values
from data_setup.clinical.columns import COLUMNS, other_columns
from data_setup.clinical.sessions import normal, session_in_id, session_in_path
from data_setup.listing.class_folders import check_class_name, class_name
from data_setup.subjects.archive_ids import canonical_id, is_archive_id
from data_setup.subjects.path_tables import column_index, is_missing, plain_header
from data_setup.subjects.text_tables import read_text_table
from functions.runtime.errors import UserError, printable

DESCRIBING = ("class", "age", "sex", "site", "scanner")     # what a table says about its patients
MANY = 100                    # more classes than this are not classes: an id, a date or a score
OASIS_1 = 300                 # rows of OASIS-1's own table, about: it has 436


class Row(NamedTuple):
    """One row: which image or patient and session it is about, and what it says, None where it does not."""

    path: str | None
    subject: str | None
    session: str                        # as `sessions.normal`
    values: dict[str, str | float | None]       # by DESCRIBING
    date: str = ""                      # of its images, YYYYMMDD: what their session may be called

    def is_of(self, session: str) -> bool:
        """Whether the row is about a session, by its name or its date."""
        return bool(session) and session in (self.session, self.date)


class ClinicalTable(NamedTuple):
    """The rows of a table, which of DESCRIBING it has columns for, whether its ids are RIDs, and notes on it."""

    file: Path
    rows: list[Row]
    columns: frozenset[str]
    by_rid: bool
    notes: list[str]

    @property
    def has_class(self) -> bool:
        return "class" in self.columns


def read_clinical_table(file: Path) -> ClinicalTable:
    """The clinical table in a CSV or TSV; its columns are found by their names (`columns.py`).

    Raises UserError, one line with the file, for a file that is no table, without a column path or subject, without any
    column of DESCRIBING, with a column twice, and for a value that cannot be right, with row and reason.
    """
    header, cells = read_text_table(file)
    index = {name: column_index(file, header, names, name) for name, names in COLUMNS.items()}
    used = {name: at for name, at in index.items() if at is not None}
    header, cells = _with_ages(header, cells, used)
    if "path" not in used and "subject" not in used:
        raise UserError(f"{file}: needs a column subject (or patient_id, participant_id, PTID, ID, …) or path; its "
                        f"first row is {', '.join(header)[:200]}")
    described = frozenset(DESCRIBING) & set(used)
    if not described:
        raise UserError(f"{file}: has none of the columns {', '.join(DESCRIBING)}, under these or other known names; "
                        f"its first row is {', '.join(header)[:200]}")
    if not cells:
        raise UserError(f"{file}: has no rows")
    unique = dict.fromkeys(tuple(row) for row in cells)
    columns = {name: _column(file, header, cells, name, used) for name in described}
    date_of, at_baseline = _date_reader(cells, used), _is_at_baseline(header, cells, used)
    rows = []
    for row in unique:
        path, subject, session = (row[used[name]].strip() if name in used else "" for name in
                                  ("path", "subject", "session"))
        known = {name: columns[name].get(row[used[name]]) for name in described}
        years = _since_baseline(file, header, row, used) if at_baseline else 0.0
        rows.append(_row(path, subject, session, known, years, date_of(row)))
    found = [row for row in rows if row.path or row.subject]
    if not found:
        raise UserError(f"{file}: no row names a patient or an image")
    _check_paths(file, found)
    notes = _notes(file, header, cells, used, columns, len(rows) - len(found))
    if at_baseline:
        notes.append(f"{file}: AGE is read as the age at baseline, as in ADNIMERGE; the time since baseline is added")
    notes += _doubt_about_ratings(file, header, cells, used)
    by_rid = "subject" in used and plain_header(header[used["subject"]]) == "rid"
    return ClinicalTable(file, found, described, by_rid, notes)


def _with_ages(header: list[str], cells: list[list[str]],
               used: dict[str, int]) -> tuple[list[str], list[list[str]]]:
    """Header and rows with a column of ages from birth and visit, if there is none of ages; enters it into `used`."""
    if "age" in used or not {"birth", "visited"} <= set(used):
        return header, cells
    birth, visit = used["birth"], used["visited"]
    day_first = _day_first(cells, birth) or _day_first(cells, visit)
    used["age"] = len(header)
    return ([*header, f"{header[birth]} and {header[visit]}"],
            [[*row, values.age_between(row[birth], row[visit], day_first)] for row in cells])


def _day_first(cells: Sequence[Sequence[str]], at: int) -> bool:
    """Whether days come before months in a column: any first number exceeds 12."""
    return any(row[at].strip() and not values.read_date(row[at]) and values.read_date(row[at], day_first=True)
               for row in cells)


def _date_reader(cells: Sequence[Sequence[str]], used: dict[str, int]) -> Callable[[Sequence[str]], str]:
    """row → the date of its images."""
    if (at := used.get("date")) is None:
        return lambda row: ""
    day_first = _day_first(cells, at)
    return lambda row: values.read_date(row[at], day_first)


def _row(path: str, subject: str, session: str, known: dict, years: float, date: str) -> Row:
    if known.get("age") is not None:
        known["age"] = None if math.isnan(years) else known["age"] + years
    session = "" if is_missing(session) else session
    within = normal(session_in_id(session) or session or session_in_id(subject)) or session_in_path(path) or date
    return Row(path or None, None if is_missing(subject) else canonical_id(subject), within, known, date)


def _check_paths(file: Path, rows: Sequence[Row]) -> None:
    """UserError for two rows about one image that say different things."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.path and (other := first.setdefault(row.path, row)).values != row.values:
            shown = (" ".join(str(value) for value in one.values.values() if value is not None) for one in (other, row))
            raise UserError(f"{file}: two rows for {printable(row.path)}: {' and '.join(map(repr, shown))}")


def _column(file: Path, header: Sequence[str], cells: Sequence[Sequence[str]], name: str,
            used: dict[str, int]) -> dict[str, str | float | None]:
    """cell → its value, for all cells of a column; UserError, naming row and reason, for one that cannot be right."""
    read, at = _reader(file, header, name, used), used[name]
    found: dict[str, str | float | None] = {}
    wrong: list[tuple[int, str, str]] = []
    for number, row in enumerate(cells, start=1):
        if row[at] not in found:
            try:
                found[row[at]] = read(row[at])
            except ValueError as error:
                wrong.append((number, row[at], str(error)))
    if wrong:
        number, cell, reason = wrong[0]
        more = f" ({len(wrong)} such values)" if len(wrong) > 1 else ""
        raise UserError(f"{file}: row {number}: the {name} {printable(cell)[:60]!r} in column {printable(header[at])} "
                        f"{reason}{more}: correct it, or leave the cell empty")
    if name == "class":
        _check_classes(file, header[at], found)
    return found


def _reader(file: Path, header: Sequence[str], name: str, used: dict[str, int]) -> Callable[[str], str | float | None]:
    column = plain_header(header[used[name]])
    if name == "class" and column.startswith(("cdr", "cdg")):
        return values.read_rating
    if name == "class" and column == "dxcurren":
        return values.read_code
    if name == "class":
        return _read_class
    return {"age": values.read_age, "sex": values.read_sex}.get(name, values.read_text)


def _read_class(cell: str) -> str | None:
    if values.absent(cell):
        return None
    name = class_name(cell.strip())
    try:
        check_class_name(name, "it")
    except UserError as error:
        raise ValueError(str(error).partition('" ')[2].replace(": rename it", "")) from None
    return name


def _check_classes(file: Path, column: str, found: dict) -> None:
    names = sorted({name for name in found.values() if name is not None})
    if not names:
        raise UserError(f"{file}: column {printable(column)} has no class in any row")
    if len(names) > MANY:
        raise UserError(f"{file}: column {printable(column)} has {len(names)} different values, which are not classes: "
                        "name the column of the diagnosis \"class\"")
    if len({name.casefold() for name in names}) < len(names):
        twice = next(name for name in names if sum(name.casefold() == one.casefold() for one in names) > 1)
        spellings = ", ".join(name for name in names if name.casefold() == twice.casefold())
        raise UserError(f"{file}: the classes {spellings} differ only in case: write one of them")


def _since_baseline(file: Path, header: Sequence[str], row: Sequence[str], used: dict[str, int]) -> float:
    """Years since baseline by a row's own columns, without such columns by its visit (m24); nan if unknown."""
    if not {"years", "months"} & set(used):
        visit = normal(row[used["session"]])
        return int(visit[1:]) / 12 if visit[:1] == "m" and visit[1:].isdigit() else math.nan
    for name, divisor in (("years", 1.0), ("months", 12.0)):
        try:
            if name in used and (value := values.read_years(row[used[name]])) is not None:
                return value / divisor
        except ValueError as error:
            raise UserError(f"{file}: {printable(row[used[name]])[:60]!r} in column {header[used[name]]} {error}"
                            ) from None
    return math.nan


def _is_at_baseline(header: Sequence[str], cells: Sequence[Sequence[str]], used: dict[str, int]) -> bool:
    """Whether AGE is that at baseline in every row: a table with the columns of ADNIMERGE, unless most of the patients
    with several visits have several ages; without Years_bl and Month, if most have one age.
    """
    plain = {plain_header(name) for name in header}
    if not ("age" in used and {"viscode", "age"} <= plain):
        return False
    ages, visits = defaultdict(set), defaultdict(set)
    for row in cells:
        if not values.absent(row[used["age"]]):
            patient = row[used.get("subject", used.get("path", 0))].strip()
            ages[patient].add(row[used["age"]].strip())
            visits[patient].add(normal(row[used["session"]]))
    several = [len(ages[patient]) > 1 for patient in ages if len(visits[patient]) > 1]
    return 2 * sum(several) <= len(several) and bool(several or {"years", "months"} & set(used))


def _notes(file: Path, header: Sequence[str], cells: Sequence[Sequence[str]], used: dict[str, int], columns: dict,
           nameless: int) -> list[str]:
    """Which columns are read as what, and what is unusual about them."""
    shown = ", ".join(f"{name} from {printable(header[at])}" if plain_header(header[at]) != name else name
                      for name, at in used.items() if name not in ("years", "months", "birth", "visited"))
    notes = [f"{file}: {len(cells):,} rows; {shown}"]
    if "class" in used and (others := other_columns(header, COLUMNS["class"], used["class"])):
        notes[0] += f" (not {', '.join(map(printable, others))}: to use one of these, name it class)"
    for name in [one for one in DESCRIBING if one in used]:
        marks = Counter(row[used[name]].strip() for row in cells if columns[name][row[used[name]]] is None)
        written = [f'"{printable(mark)[:30]}"' for mark, _ in marks.most_common() if mark]     # such as "none", "-1"
        if marks:
            notes.append(f"{file}: {marks.total():,} of {len(cells):,} rows have no {name}"
                         + f" ({', '.join(written[:4])})" * bool(written))
    if nameless:
        notes.append(f"{file}: {nameless:,} rows name no patient and no image, and are left out")
    if "sex" in used and any(cell.strip() in ("1", "2", "1.0", "2.0") for cell in columns["sex"]):
        notes.append(f"{file}: sex 1 is read as male, 2 as female")
    if "age" in used and any("+" in cell for cell in columns["age"]):
        notes.append(f"{file}: ages such as 89+ are read as 89")
    return notes


def _doubt_about_ratings(file: Path, header: Sequence[str], cells: Sequence[Sequence[str]],
                         used: dict[str, int]) -> list[str]:
    """A note if a copy of OASIS-1's table has a rating in every row: its own has none for those not assessed."""
    if not {"class", "subject"} <= set(used) or plain_header(header[used["class"]]) != "cdr":
        return []
    ids = Counter(is_archive_id(one) and one.startswith("OAS1_")
                  for one in (canonical_id(row[used["subject"]]) for row in cells))
    if ids[True] < OASIS_1 or any(values.absent(row[used["class"]]) for row in cells):
        return []
    return [f"CHECK: {file}: every row has a CDR; in OASIS-1's own table it is empty for those who were not assessed, "
            "most of them under 60: was it filled with 0?"]
