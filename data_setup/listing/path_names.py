"""Checks for names that tables and reports cannot represent: not UTF-8, or not in the locale's encoding."""

import sys
from collections.abc import Iterable

from functions.runtime.errors import UserError, is_decoded, printable


def check_utf8(names: Iterable[object], what: str) -> None:
    """UserError, with the first case, if a path or an argument (`what`) is not UTF-8."""
    wrong = [name for name in map(str, names) if not is_decoded(name)]
    if wrong:
        shown = printable(wrong[0])
        encoding = sys.getfilesystemencoding()
        if encoding == "utf-8":
            raise UserError(f"{what} {shown} is not UTF-8 ({len(wrong)} such): rename it")
        raise UserError(f"{what} {shown} ({len(wrong)} such): the locale's encoding is {encoding}: set the "
                        "environment variable PYTHONUTF8=1, or LC_ALL=C.UTF-8")
