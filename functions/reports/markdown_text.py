"""Tables in Markdown: text from names and files as cells that end nowhere early and hold no HTML or link."""

import re
from pathlib import Path

from functions.runtime.errors import UserError, printable


def cell(text: object) -> str:
    """Text that Markdown shows as it is, on one line, within a cell."""
    return re.sub(r"([\\|`*$\[\]])", r"\\\1", printable(text)).replace("&", "&amp;").replace("<", "&lt;")


def code(text: object) -> str:
    """A code span in a cell; backticks, which would end it, become quotes."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', chr(92) + '|').replace('<', '&lt;')}`"


def row(cells: list[str]) -> str:
    """A line of a table; its cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def write_between(file: Path, begin: str, end: str, lines: list[str]) -> None:
    """Replaces what stands between two marks in a file; UserError if they are not there once each, in this order."""
    from functions.runtime.atomic_files import write_text  # it loads what a table alone does not need

    if not file.is_file():
        raise UserError(f"{file} is no file that holds the lines {begin} and {end}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a UTF-8 text ({error.reason} at byte {error.start})") from None
    if len(found := re.findall(f"{re.escape(begin)}.*?{re.escape(end)}", text, flags=re.DOTALL)) != 1:
        raise UserError(f"{file} needs the line {begin} and after it {end}, once each")
    write_text(file.resolve(), text.replace(found[0], "\n".join([begin, "", *lines, "", end])))
