"""Names that cannot be written into a table or a report: not UTF-8, or in a locale that has no such letters."""

import sys
from collections.abc import Iterable

from functions.errors import UserError


def check_utf8(names: Iterable[object], what: str) -> None:
    """UserError, naming the first, where a path or an argument (`what`) is not UTF-8."""
    wrong = [name for name in map(str, names) if not _is_utf8(name)]
    if wrong:
        shown = wrong[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        encoding = sys.getfilesystemencoding()
        if encoding == "utf-8":
            raise UserError(f"{what} {shown} is not UTF-8 ({len(wrong)} such): rename it")
        raise UserError(f"{what} {shown} ({len(wrong)} such): the locale here has {encoding} letters alone: set the "
                        "environment variable PYTHONUTF8=1, or LC_ALL=C.UTF-8")


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:          # bytes that Python could not decode stand in the name as lone surrogates
        return False
    return True
