"""A user's regular expression, searched in paths: in a process of its own, which can be stopped if it never ends.

Python's `re` backtracks: a pattern such as (a+)+$ takes time that doubles with every character. A search cannot be
stopped from another thread, so a child process does it.
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
    """What the pattern's group `subject` matches in each path; None where nothing does.

    UserError, one line, for what is no regular expression, has no group named subject, or takes too long.
    """
    check_pattern(pattern)
    seconds = SECONDS + SECONDS_A_PATH * len(paths)
    try:
        found = subprocess.run([sys.executable, "-I", "-S", "-W", "ignore", "-c", SEARCH], text=True, timeout=seconds,
                               input=json.dumps([pattern, list(paths)]), capture_output=True, check=True)
    except subprocess.TimeoutExpired:
        raise UserError(f"the subject pattern {shown(pattern)} searched {len(paths):,} paths for {seconds:,.0f} s "
                        "without an end: it backtracks, as repeats within repeats do, such as (a+)+; write it "
                        "without them") from None
    return json.loads(found.stdout)


def check_pattern(pattern: str) -> None:
    """UserError unless the pattern is a regular expression with a group named subject."""
    try:
        with warnings.catch_warnings(action="ignore"):       # of what a later Python may read otherwise
            groups = re.compile(pattern).groupindex
    except (re.error, RecursionError, OverflowError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"the subject pattern {shown(pattern)} is no regular expression: {reason}") from None
    if "subject" not in groups:
        raise UserError(f"the subject pattern {shown(pattern)} has no group named subject; write (?P<subject>...)")


def shown(pattern: str) -> str:
    """A pattern for a message: of a long one the beginning."""
    return repr(pattern if len(pattern) <= 120 else f"{pattern[:117]}...")
