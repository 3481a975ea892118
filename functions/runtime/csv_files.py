"""CSV files that are safe against formula injection and round-trip exactly.

A spreadsheet evaluates a cell that starts with = + - @, a tab or a line break as a formula (OWASP, "CSV injection"),
and file or folder names may start with these characters. Such text is prefixed with a quote ('), as OWASP recommends;
run_tables.py and text_tables.py remove it. Text that already has the quote gets a second one, so the escape is
reversible.
"""

import csv
import math
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from functions.runtime.atomic_files import write_text

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV, without its index.

    Text with spaces at its ends, which readers skip otherwise, and with carriage returns is quoted.
    """
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    safe = table.assign(**{name: table[name].map(escape) for name in texts}).rename(columns=escape)
    cells = [*safe.columns, *(cell for name in texts for cell in table[name])]
    spaced = any(isinstance(cell, str) and (cell != cell.strip() or "\r" in cell) for cell in cells)
    return safe.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if spaced else csv.QUOTE_MINIMAL)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as CSV, at once or not at all."""
    write_text(path, to_csv(table))


def read_csv(path: Path, texts: Collection[str]) -> pd.DataFrame:
    """A table in which the columns `texts` are text, and the others numbers, empty cells NaN.

    Numbers are read to the last bit, which pandas' own parser does from version 3.1 on only. Raises ValueError for a
    cell that is no number, and as pandas for a file that is no table.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.assign(**{name: list(map(_number, table[name])) for name in table.columns if name not in texts})


def _number(cell: str) -> float:
    if cell.lstrip("-").isdigit():
        return int(cell)
    return float(cell) if cell else math.nan


def escape(cell):
    """The cell as `to_csv` writes it: text that a spreadsheet would evaluate gets a quote before it."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unescape(cell: str) -> str:
    """The original text of a cell written by `to_csv`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
