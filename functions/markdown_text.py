"""Text from names and files as cells of a Markdown table: no cell ends early, and none holds HTML or a link."""

import re

from functions.errors import printable


def cell(text: object) -> str:
    """Text that Markdown shows as it is, on one line, within a cell."""
    return re.sub(r"([\\|`*$\[\]])", r"\\\1", printable(text)).replace("&", "&amp;").replace("<", "&lt;")


def code(text: object) -> str:
    """A code span in a cell; backticks, which would end it, become quotes."""
    return f"`{printable(text).replace('`', chr(39)).replace('|', chr(92) + '|').replace('<', '&lt;')}`"


def row(cells: list[str]) -> str:
    """A line of a table; its cells are Markdown already."""
    return f"| {' | '.join(cells)} |"
