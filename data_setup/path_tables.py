"""CSV tables that say something about image files, and which row speaks of which file.

Used for `--subjects FILE.csv` (path, subject) and `--split FILE.csv` (path, class, subject, split).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from functions.errors import UserError


def read_path_table(file: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV as text with at least these columns, the first of them "path"; repeated rows are dropped.

    Raises ValueError, one line naming the file: not readable, no rows, missing columns, one path with two answers.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, ValueError) as error:      # pandas' own errors are ValueErrors, some of several lines
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{file}: cannot be read as CSV: {reason}") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(f"{file}: needs the columns {', '.join(columns)}; missing {', '.join(missing)}")
    table = table[list(columns)].drop_duplicates(ignore_index=True)
    if table.empty:
        raise UserError(f"{file}: has no rows")
    keys = table["path"].map(_parts)
    if keys.duplicated().any():
        twice = table[keys == keys[keys.duplicated()].iloc[0]]
        first, second = (" ".join(row[1:]) for row in twice.iloc[:2].values.tolist())
        raise UserError(f"{file}: two rows for {twice['path'].iloc[0]}: {first!r} and {second!r}")
    return table


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
    """The parts of a path, `/` or `\\` between them; a leading `/`, `.` and `..` are left out."""
    parts = [part for part in str(path).strip().replace("\\", "/").split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    return tuple(parts)
