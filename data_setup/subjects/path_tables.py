"""Tables about image files, and the matching of their rows to files.

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

# Other names of a column, compared in lower case without spaces and punctuation. The first one present is used.
SYNONYMS = {
    "path": ("path", "filepath", "imagepath", "imgpath", "fullpath", "file", "filename", "imagefile", "imagename",
             "image", "img"),
    "subject": ("subject", "subjectid", "subjid", "patient", "patientid", "participant", "participantid", "person",
                "personid", "ptid", "patno", "naccid", "ixiid", "oasisid", "rid", "caseid", "pid", "id"),
}
# What R, Excel, pandas, SQL and users write for an unknown patient, letters and digits only: "?", "--", "." and "_"
# become "", "N/A" and "<NA>" become "na". Read as an id, it would merge all unknown patients into one.
MISSING = {"", "na", "nan", "none", "null", "nil", "unknown", "unk", "missing", "undefined", "unspecified",
           "notavailable", "notapplicable", "notknown", "anon", "anonymous", "anonymised", "anonymized"}


def read_path_table(file: str | Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a table as text: the required columns, the first of them "path", and those of `optional` that it has.

    Columns may have other names (SYNONYMS) and any case. Repeated rows are dropped.
    Raises UserError, one line with the file: not readable, no rows, missing columns, conflicting rows for one path.
    """
    header, rows = read_text_table(file)
    indices = {name: column_index(file, header, SYNONYMS.get(name, (name,)), name)
               for name in (*columns, *optional)}
    missing = [name for name in columns if indices[name] is None]
    if missing:
        hint = "; a patient's column may also be called patient_id, participant_id or ID" * ("subject" in missing)
        raise UserError(f"{file}: needs the columns {', '.join(columns)}; missing {', '.join(missing)} "
                        f"(its first row is {', '.join(header)[:200]}){hint}")
    kept = [name for name, index in indices.items() if index is not None]
    table = pd.DataFrame([[row[indices[name]] for name in kept] for row in rows], columns=kept, dtype=object)
    table = table.drop_duplicates(ignore_index=True)
    if table.empty:
        raise UserError(f"{file}: has no rows")
    if empty := [number for number, path in enumerate(table["path"], start=2) if not path.strip()]:
        raise UserError(f"{file}: line {empty[0]} has no path")
    keys = table["path"].map(_parts)
    if keys.duplicated().any():
        duplicates = table[keys == keys[keys.duplicated()].iloc[0]]
        first, second = (" ".join(row[1:]) for row in duplicates.iloc[:2].values.tolist())
        raise UserError(f"{file}: two rows for {duplicates['path'].iloc[0]}: {first!r} and {second!r}")
    return table


def from_table(file: Path, paths: Sequence[str]) -> list[str]:
    """Resolves the paths of a table: as written, or relative to the table's own folder.

    UserError, naming table and file, for a file that does not exist, and for two rows that refer to the same one.
    """
    found = [path if os.path.exists(path) else str(file.parent / path) for path in paths]
    if missing := [path for path, place in zip(paths, found, strict=True) if not os.path.isfile(place)]:
        raise UserError(f"{file}: {len(missing)} of {len(paths)} files do not exist, the first {missing[0][:200]}: "
                        f"paths start from here or from {file.parent}")
    places = [os.path.realpath(path) for path in found]
    if len(set(places)) < len(places):
        twice = next(path for path, place in zip(paths, places, strict=True) if places.count(place) > 1)
        raise UserError(f"{file}: two rows refer to the file {twice}: leave one out")
    return found


def check_told_apart(paths: Sequence[str]) -> None:
    """UserError for two files that are equivalent in tables: names in two Unicode forms, or `\\` against `/`."""
    first: dict[tuple[str, ...], str] = {}
    for path in paths:
        if (other := first.setdefault(_parts(path), path)) != path:
            raise UserError(f"{printable(other)} and {printable(path)} differ only in the Unicode form of their names, "
                            "or in \\ and /, which are equivalent in tables: rename one")


def column_index(file: str | Path, header: Sequence[str], names: Sequence[str], what: str) -> int | None:
    """Index of the first of `names` that a table has, None without; UserError if that one is there twice.

    `names` and the header's are compared as `plain_header`; the message calls the column `what`.
    """
    found = [plain_header(name) for name in header]
    for name in names:
        if found.count(name) > 1:
            raise UserError(f"{file}: has two columns for {what}: "
                            f"{', '.join(h for h, plain in zip(header, found, strict=True) if plain == name)}")
        if name in found:
            return found.index(name)
    return None


def plain_header(name: str) -> str:
    """A column's name as it is compared: lower case, without spaces and punctuation."""
    return re.sub(r"[\W_]", "", name.casefold())


def subject_ids(cells: Sequence[str]) -> list[str | None]:
    """Canonical ids from a table's subject column, None where a cell is empty or a missing-value marker (MISSING).
    """
    return [None if is_missing(cell) else canonical_id(cell) for cell in cells]


def is_missing(cell: str) -> bool:
    """Whether a cell is empty or a missing-value marker (MISSING)."""
    return re.sub(r"[\W_]", "", cell.casefold()) in MISSING


def rows_without_patient(file: str | Path, cells: Sequence[str]) -> list[str]:
    """A note on how many of a table's rows have no patient, and which markers they have; empty if all have one."""
    marks = Counter(cell.strip() for cell in cells if is_missing(cell))
    if not marks:
        return []
    words = ", ".join(f'"{printable(mark)[:30]}"' if mark else "empty" for mark, _ in marks.most_common(4))
    return [f"{file}: {marks.total():,} of {len(cells):,} rows have no patient ({words}{', …' * (len(marks) > 4)}): "
            "their slices are treated as slices of unknown patients, not of one patient"]


def match_paths(paths: Sequence[str | Path], rows: Sequence[str], file: str | Path) -> list[int | None]:
    """For each path the index of the row that matches it, or None.

    A row matches a path if it is the whole path or a trailing part of it (`train/NonDemented/nonDem1.jpg`); the longest
    match is used. If no row matches any path, the table may come from another machine: the folders that all rows share
    are removed, and the result is used only if then every path has a row.
    Raises UserError with the file if a row matches several paths.
    """
    absolute = [_parts(os.path.abspath(path)) for path in paths]
    keys = [_parts(row) for row in rows]
    found = _longest(absolute, keys)
    if all(row is None for row in found):
        moved = _longest(absolute, [key[common_folders(keys):] for key in keys])
        found = found if None in moved else moved
    first = {}
    for path, row in zip(paths, found, strict=True):
        if row is not None and first.setdefault(row, path) != path:
            raise UserError(f"{file}: the row {rows[row]} matches both {first[row]} and {path}; "
                            "write a longer path in the table")
    return found


def common_folders(parts: Sequence[tuple[str, ...]]) -> int:
    """The number of leading folders that all paths, given as parts, share."""
    return len(os.path.commonprefix([path[:-1] for path in parts]))


def _longest(paths: Sequence[tuple[str, ...]], keys: Sequence[tuple[str, ...]]) -> list[int | None]:
    """For each path the index of the key that is its longest trailing part, or None."""
    numbers = {key: number for number, key in enumerate(keys)}
    return [next((numbers[path[i:]] for i in range(len(path)) if path[i:] in numbers), None) for path in paths]


def _parts(path: str | Path) -> tuple[str, ...]:
    """The parts of a path in Unicode NFC, separated by `/` or `\\`; a leading `/`, `.` and `..` are dropped."""
    text = unicodedata.normalize("NFC", str(path).rstrip())
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    return tuple(parts)
