"""Delimited text tables: comma, semicolon, tab or bar; UTF-8 or UTF-16; plain or compressed.

Spreadsheets in many countries write semicolons, BIDS writes tabs, Windows writes UTF-16 and byte order marks, and R
omits the header of the row names.
"""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from functions.runtime.errors import UserError, not_a_file

DELIMITERS = ",;\t|"
MAX_BYTES = 2**28              # 256 MiB, over a million long paths; limits what a compressed file can expand to
SPREADSHEETS = (".xlsx", ".xls", ".ods")
_FORMULA = re.compile(r"'+[=+\-@\t\r\n]")


def read_text_table(file: str | Path) -> tuple[list[str], list[list[str]]]:
    """(header, rows) of a table, all cells as text and each row as long as the header; blank lines are skipped.

    A quote before a formula's first character, which csv_files.py writes so that spreadsheets do not run it, is
    removed. Raises UserError, one line with the file, if it is not such a table.
    """
    text = _decode(file, _read_bytes(file))
    first, *rest = re.split(r"\r\n|\n|\r", text, maxsplit=1)
    if re.fullmatch(r"sep=.", first):                            # Excel's own declaration
        delimiter, text = first[-1], "".join(rest)
    else:
        delimiter = max(DELIMITERS, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise UserError(f"{file}: cannot be read as CSV: {error}") from error
    rows = [[_plain(cell) for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise UserError(f"{file}: cannot be read as CSV: it is empty")
    header = [name.strip() for name in rows[0]]
    return header, _even(file, header, rows[1:])


def _even(file: str | Path, header: list[str], rows: list[list[str]]) -> list[list[str]]:
    """Rows of the header's length: R's row names, which have no header, and empty cells at the end are removed."""
    width = len(header)
    if rows and all(len(row) == width + 1 for row in rows) and any(row[-1] for row in rows):
        rows = [row[1:] for row in rows]
    for number, row in enumerate(rows, start=1):
        while len(row) > width and not row[-1]:
            row.pop()
        if len(row) != width:
            raise UserError(f"{file}: row {number} has {len(row)} cells and the header {width}: {' | '.join(row)[:80]}")
    return rows


def _plain(cell: str) -> str:
    return cell[1:] if _FORMULA.match(cell) else cell


def _read_bytes(file: str | Path) -> bytes:
    """The file's content, decompressed according to its extension."""
    if Path(file).suffix.lower() in SPREADSHEETS:
        raise UserError(f"{file}: is a spreadsheet: save it as CSV (UTF-8)")
    if why := not_a_file(file):
        raise UserError(f"{file}: cannot be read as CSV: {why}")
    try:
        with _open(file) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{file}: cannot be read as CSV: {reason}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{file}: cannot be read as CSV: it holds more than {MAX_BYTES // 2**20} MiB")
    return content


def _open(file: str | Path) -> BinaryIO:
    openers = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    suffix = Path(file).suffix.lower()
    if suffix != ".zip":
        return openers.get(suffix, open)(file, "rb")
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
        if len(names) != 1:
            raise UserError(f"{file}: holds {len(names)} files: it must hold one CSV")
        with archive.open(names[0]) as member:
            return io.BytesIO(member.read(MAX_BYTES + 1))


def _decode(file: str | Path, content: bytes) -> str:
    """The text; UTF-16 by its byte order mark, or by the zero byte beside the first character."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content[1:2] == b"\0" and content[:1] != b"\0":
        encoding = "utf-16-le"
    elif content[:1] == b"\0" and content[1:2] not in (b"", b"\0"):
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: cannot be read as CSV: it is neither UTF-8 nor UTF-16 text (byte {error.start}): "
                        "save it as CSV UTF-8") from error
    if "\0" in text:
        raise UserError(f"{file}: cannot be read as CSV: it contains zero bytes and is not text")
    return text
