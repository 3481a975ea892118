"""Tables that say something about image files, and which row speaks of which file.

Used for `--subjects FILE.csv` (path, subject), `--split FILE.csv` (path, class, subject, split) and `--data FILE.csv`.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_setup.subjects.archive_ids import canonical_id
from data_setup.subjects.text_tables import read_text_table
from functions.runtime.errors import UserError, printable

# Other names of a column, compared in lower case without spaces and punctuation. Of several present the first counts.
SYNONYMS = {
    "path": ("path", "filepath", "imagepath", "imgpath", "fullpath", "file", "filename", "imagefile", "imagename",
             "image", "img"),
    "subject": ("subject", "subjectid", "subjid", "patient", "patientid", "participant", "participantid", "person",
                "personid", "ptid", "patno", "naccid", "ixiid", "rid", "caseid", "pid", "id"),
}
# What R, Excel, pandas, SQL and people write for a patient whom they do not know, letters and digits alone: "?", "--",
# "." and "_" are "" then, "N/A" and "<NA>" are "na". Taken for an id it would make one patient of all these.
MISSING = {"", "na", "nan", "none", "null", "nil", "unknown", "unk", "missing", "undefined", "unspecified",
           "notavailable", "notapplicable", "notknown", "anon", "anonymous", "anonymised", "anonymized"}


def read_path_table(file: str | Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table as text: these columns, the first of them "path", and those of `optional` that it has.

    Columns may have other names (SYNONYMS) and any case. Repeated rows are dropped.
    Raises UserError, one line naming the file: not readable, no rows, missing columns, one path with two answers.
    """
    header, rows = read_text_table(file)
    places = {name: _place(file, header, name) for name in (*columns, *optional)}
    missing = [name for name in columns if places[name] is None]
    if missing:
        hint = "; a patient's column may also be called patient_id, participant_id or ID" * ("subject" in missing)
        raise UserError(f"{file}: needs the columns {', '.join(columns)}; missing {', '.join(missing)} "
                        f"(its first row is {', '.join(header)[:200]}){hint}")
    kept = [name for name, place in places.items() if place is not None]
    table = pd.DataFrame([[row[places[name]] for name in kept] for row in rows], columns=kept, dtype=object)
    table = table.drop_duplicates(ignore_index=True)
    if table.empty:
        raise UserError(f"{file}: has no rows")
    if empty := [number for number, path in enumerate(table["path"], start=2) if not path.strip()]:
        raise UserError(f"{file}: line {empty[0]} has no path")
    keys = table["path"].map(_parts)
    if keys.duplicated().any():
        twice = table[keys == keys[keys.duplicated()].iloc[0]]
        first, second = (" ".join(row[1:]) for row in twice.iloc[:2].values.tolist())
        raise UserError(f"{file}: two rows for {twice['path'].iloc[0]}: {first!r} and {second!r}")
    return table


def from_table(file: Path, paths: Sequence[str]) -> list[str]:
    """Where the files of a table lie: as written, or seen from the table's own folder.

    UserError, naming table and file, for a file that is not there, and for two rows that mean the same one.
    """
    found = [path if os.path.exists(path) else str(file.parent / path) for path in paths]
    if missing := [path for path, place in zip(paths, found, strict=True) if not os.path.isfile(place)]:
        raise UserError(f"{file}: {len(missing)} of {len(paths)} files are not there, the first {missing[0][:200]}: "
                        f"paths start from here or from {file.parent}")
    places = [os.path.realpath(path) for path in found]
    if len(set(places)) < len(places):
        twice = next(path for path, place in zip(paths, places, strict=True) if places.count(place) > 1)
        raise UserError(f"{file}: two rows mean the file {twice}: leave one out")
    return found


def check_told_apart(paths: Sequence[str]) -> None:
    """UserError for two files that a table could not tell apart: names in two Unicode forms, or `\\` against `/`."""
    first: dict[tuple[str, ...], str] = {}
    for path in paths:
        if (other := first.setdefault(_parts(path), path)) != path:
            raise UserError(f"{printable(other)} and {printable(path)} differ only in the Unicode form of their names, "
                            "or in \\ and /, which tables do not tell apart: rename one")


def _place(file: str | Path, header: Sequence[str], column: str) -> int | None:
    """Where the column stands, None if it doesn't; UserError if it stands there twice."""
    plain = [re.sub(r"[\W_]", "", name.casefold()) for name in header]
    for name in SYNONYMS.get(column, (column,)):
        if plain.count(name) > 1:
            raise UserError(f"{file}: has two columns for {column}: "
                            f"{', '.join(h for h, p in zip(header, plain, strict=True) if p == name)}")
        if name in plain:
            return plain.index(name)
    return None


def subject_ids(cells: Sequence[str]) -> list[str | None]:
    """Canonical ids from a table's subject column, None where a cell is empty or says that nobody knows (MISSING)."""
    return [None if _is_missing(cell) else canonical_id(cell) for cell in cells]


def _is_missing(cell: str) -> bool:
    return re.sub(r"[\W_]", "", cell.casefold()) in MISSING


def rows_without_patient(file: str | Path, cells: Sequence[str]) -> list[str]:
    """A sentence on how many of a table's rows name no patient, and what stands there instead; none if all name one."""
    marks = Counter(cell.strip() for cell in cells if _is_missing(cell))
    if not marks:
        return []
    words = ", ".join(f'"{printable(mark)[:30]}"' if mark else "empty" for mark, _ in marks.most_common(4))
    return [f"{file}: {marks.total():,} of {len(cells):,} rows name no patient ({words}{', …' * (len(marks) > 4)}): "
            "these slices count as those of unknown patients, not of one"]


def match_paths(paths: Sequence[str | Path], rows: Sequence[str], file: str | Path) -> list[int | None]:
    """For each path the number of the row that means it, or None.

    A row means a path if it is the whole path or a trailing part of it (`train/NonDemented/nonDem1.jpg`); of several
    the longest. If no row means any path, the table may have been written on another machine: the folders that all
    rows have in common are left off, which counts only if then every path has its row.
    Raises ValueError naming the file if a row means several paths, so that it cannot tell them apart.
    """
    whole = [_parts(os.path.abspath(path)) for path in paths]
    keys = [_parts(row) for row in rows]
    found = _longest(whole, keys)
    if all(row is None for row in found):
        moved = _longest(whole, [key[common_folders(keys):] for key in keys])
        found = found if None in moved else moved
    first = {}
    for path, row in zip(paths, found, strict=True):
        if row is not None and first.setdefault(row, path) != path:
            raise UserError(f"{file}: the row {rows[row]} means both {first[row]} and {path}; "
                            "write more of the path in the table")
    return found


def common_folders(parts: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all paths, given in parts, have in common."""
    return len(os.path.commonprefix([path[:-1] for path in parts]))


def _longest(paths: Sequence[tuple[str, ...]], keys: Sequence[tuple[str, ...]]) -> list[int | None]:
    """For each path the number of the key that is its longest trailing part, or None."""
    numbers = {key: number for number, key in enumerate(keys)}
    return [next((numbers[path[i:]] for i in range(len(path)) if path[i:] in numbers), None) for path in paths]


def _parts(path: str | Path) -> tuple[str, ...]:
    """The parts of a path in Unicode NFC, `/` or `\\` between them; a leading `/`, `.` and `..` are left out."""
    text = unicodedata.normalize("NFC", str(path).rstrip())
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    return tuple(parts)
