"""Searches a user's regular expression in paths, in a child process that can be stopped.

Python's `re` backtracks: a pattern such as (a+)+$ takes time that doubles with every character. A search cannot be
stopped from another thread.
"""

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence

from functions.runtime.errors import UserError

SECONDS = 10             # for the whole list; a sensible pattern takes microseconds a path
SECONDS_A_PATH = 0.001
SEARCH = """
import json, re, sys
pattern, paths = json.load(sys.stdin)
hits = map(re.compile(pattern).search, paths)
json.dump([hit and hit["subject"] or None for hit in hits], sys.stdout)
"""


def search_subjects(pattern: str, paths: Sequence[str]) -> list[str | None]:
    """The match of the pattern's group `subject` in each path; None where there is none.

    UserError, one line, for an invalid regular expression, one without a group named subject, or one that takes too
    long.
    """
    check_pattern(pattern)
    seconds = SECONDS + SECONDS_A_PATH * len(paths)
    try:
        found = subprocess.run([sys.executable, "-I", "-S", "-W", "ignore", "-c", SEARCH], text=True, timeout=seconds,
                               input=json.dumps([pattern, list(paths)]), capture_output=True, check=True)
    except subprocess.TimeoutExpired:
        raise UserError(f"the subject pattern {shorten(pattern)} took more than {seconds:,.0f} s for {len(paths):,} "
                        "paths: it backtracks, as nested repeats such as (a+)+ do; write it without them") from None
    return json.loads(found.stdout)


def check_pattern(pattern: str) -> None:
    """UserError unless the pattern is a regular expression with a group named subject."""
    try:
        with warnings.catch_warnings(action="ignore"):       # FutureWarning of ambiguous syntax
            groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"the subject pattern {shorten(pattern)} is not a regular expression: {reason}") from None
    if "subject" not in groups:
        raise UserError(f"the subject pattern {shorten(pattern)} has no group named subject; write (?P<subject>...)")


def shorten(pattern: str) -> str:
    """A pattern for a message, truncated if it is long."""
    return repr(pattern if len(pattern) <= 120 else f"{pattern[:117]}...")
