"""Markdown tables; cell text from names and files is escaped."""

import re
from pathlib import Path

from functions.runtime.errors import UserError, printable


def cell(text: object) -> str:
    """Text escaped for a Markdown cell, on one line."""
    return re.sub(r"([\\|`*$\[\]])", r"\\\1", printable(text)).replace("&", "&amp;").replace("<", "&lt;")


def code(text: object) -> str:
    """A code span in a cell; backticks become quotes."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', chr(92) + '|').replace('<', '&lt;')}`"


def row(cells: list[str]) -> str:
    """A table row of cells that are already Markdown."""
    return f"| {' | '.join(cells)} |"


def write_between(file: Path, begin: str, end: str, lines: list[str]) -> None:
    """Replaces the text between two markers in a file; raises UserError unless each occurs once, in this order."""
    from functions.runtime.atomic_files import write_text  # imported here because it imports torch

    if not file.is_file():
        raise UserError(f"{file} is not a file with the lines {begin} and {end}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    if len(found := re.findall(f"{re.escape(begin)}.*?{re.escape(end)}", text, flags=re.DOTALL)) != 1:
        raise UserError(f"{file} needs the line {begin} and after it {end}, once each")
    write_text(file.resolve(), text.replace(found[0], "\n".join([begin, "", *lines, "", end])))
