"""Subject ids from a table, a regular expression or known file naming, None where there is none.

Wrong ids are worse than missing ones: a name that does not match a known form exactly gets None.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

import pandas as pd

from data_setup.subjects.archive_ids import archive_ids
from data_setup.subjects.path_tables import (
    common_folders,
    match_paths,
    read_path_table,
    rows_without_patient,
    subject_ids,
)
from data_setup.subjects.regex import search_subjects, shorten
from functions.runtime.errors import UserError

# Ids within one data set, without sessions and slices. Ids of public archives: archive_ids.py.
_KEYWORDS = r"(?:(?:patient|pat|subject|subj|participant|person|proband|volunteer|individual|case)[ _-]?|sub[ _]?)\d+"
_BIDS = r"(?<![A-Za-z0-9])sub-(?=[A-Za-z]*\d)[A-Za-z0-9]+"
IN_FILE_NAMES = (
    re.compile(rf"{_BIDS}(?=_[A-Za-z]|_\d{{1,4}}\.|\.|$)"),                            # sub-012_ses-1, sub-012_090.png
    re.compile(rf"(?<![A-Za-z0-9]){_KEYWORDS}(?=[ _-][A-Za-z0-9])", re.IGNORECASE),       # patient_001_slice_12.png
)
IN_FOLDER_NAMES = (
    re.compile(rf"{_BIDS}(?=_[A-Za-z]|\.|$)"),
    re.compile(rf"(?<![A-Za-z0-9]){_KEYWORDS}(?=$|[ _-])", re.IGNORECASE),                # patient_001/slice_12.png
)

# The Kaggle set "Alzheimer's Dataset (4 class of images)": folder → (prefix of the training files, prefix of our ids,
# patients, the last patient whose slice 26 is a training file; that of the others is a test file).
KAGGLE_SET = {
    "NonDemented": ("nonDem", "ND", 100, 61),
    "VeryMildDemented": ("verymildDem", "VMD", 70, 43),
    "MildDemented": ("mildDem", "MD", 28, 18),
    "ModerateDemented": ("moderateDem", "MOD", 2, 2),
}


def find_subjects(paths: Sequence[str | Path], table: str | Path | None = None,
                  pattern: str | None = None) -> list[str | None]:
    """One subject id per path, None where it is unknown.

    With a table (CSV: path, subject; see `path_tables.match_paths`) or a pattern (a regular expression with a group
    named subject, searched in the path written with `/`; used where the table has no id), no known naming is applied.
    Otherwise the known namings: the file name, the Kaggle numbering, then the names of the folders below the common
    folder of all paths, innermost first.
    Raises UserError, one line, for a table or a pattern that is invalid or that matches no path.
    """
    return subjects_and_notes(paths, table, pattern)[0]


def subjects_and_notes(paths: Sequence[str | Path], table: str | Path | None = None,
                       pattern: str | None = None) -> tuple[list[str | None], list[str]]:
    """(the ids of `find_subjects`, a note on how many rows of the table name no patient)."""
    if table is None and pattern is None:
        return _from_names(paths), []
    subjects, notes = ([None] * len(paths), []) if table is None else _from_table(paths, table)
    if pattern is not None:
        found = search_subjects(pattern, [PurePath(path).as_posix() for path in paths])
        subjects = [subject or hit for subject, hit in zip(subjects, subject_ids([hit or "" for hit in found]),
                                                           strict=True)]
    if paths and not any(subjects):
        where = f"the subject pattern {shorten(pattern)}" if table is None else f"{table}"
        raise UserError(f"{where} assigns no subject to any of {len(paths)} paths, the first {paths[0]}")
    return subjects, notes


def subjects_of_slices(slices: pd.DataFrame, table: str | Path | None, pattern: str | None,
                       origin: object) -> tuple[list[str | None], list[str]]:
    """(one subject id for each slice, notes); `slices` (path, …) may have a column subject of their own.

    In this order: `table` and `pattern` (see `find_subjects`), the slices' own column, called `origin` in notes, the
    file names.
    """
    subjects, notes = subjects_and_notes(slices["path"].tolist(), table, pattern)
    if table or pattern or "subject" not in slices:
        return subjects, notes
    own = slices["subject"].tolist()
    subjects = [given or named for given, named in zip(subject_ids(own), subjects, strict=True)]
    return subjects, [*notes, *rows_without_patient(origin, own)]


def kaggle_slice(path: str | Path) -> tuple[str, int] | None:
    """(subject, slice 1..32) of a file of the Kaggle 4-class set, in its class folder and under its original name.

    The set has 32 consecutive slices per patient, from inferior to superior. Slices 1..25, and slice 26 of the first
    patients, are training files, numbered by slice and within a slice by patient k in string order of "26 (k).jpg":
    `nonDem{i}.jpg` is slice i // patients + 1. The rest are test files: `27 (k).jpg` is slice 27 of patient k, `27.jpg`
    that of patient 1. The nearest neighbour of every slice in the next slice confirms this. Any other name gives None.
    """
    return _kaggle_names().get((PurePath(path).parent.name, PurePath(path).name))


@functools.cache
def _kaggle_names() -> dict[tuple[str, str], tuple[str, int]]:
    """(class folder, file name) → (subject, slice) for all 6,400 files of the set, by its numbering rule."""
    names = {}
    for folder, (prefix, letters, num_patients, last) in KAGGLE_SET.items():
        train = [(26, k) for k in range(1 if last == num_patients else 2, last + 1)]  # 26.jpg sorts last
        test = [(26, k) for k in range(1, num_patients + 1) if (26, k) not in train]
        train += [(slice_, k) for slice_ in range(1, 26) for k in range(1, num_patients + 1)]
        test += [(slice_, k) for slice_ in range(27, 33) for k in range(1, num_patients + 1)]
        train.sort(key=lambda item: (item[0], _test_name(26, item[1])))
        for number, (slice_, k) in enumerate(train):
            names[folder, f"{prefix}{number}.jpg"] = f"{letters}{k:03d}", slice_
        for slice_, k in test:
            names[folder, _test_name(slice_, k)] = f"{letters}{k:03d}", slice_
    return names


def _test_name(slice_: int, k: int) -> str:
    return f"{slice_}.jpg" if k == 1 else f"{slice_} ({k}).jpg"


def _from_names(paths: Sequence[str | Path]) -> list[str | None]:
    """The ids from known namings."""
    parts = [PurePath(os.path.abspath(path)).parts for path in paths]
    shared = common_folders(parts)
    kaggle = [kaggle_slice(path) for path in paths]
    # The set has each name once and no higher numbers. Anything else is a renumbered copy.
    names = Counter(path[-2:] for path in set(parts) if _looks_like_kaggle(path[-2:]))
    genuine = max(names.values(), default=0) <= 1 and set(names) <= set(_kaggle_names())
    subjects = []
    for path, known in zip(parts, kaggle, strict=True):
        subject = _id_in_name(path[-1], IN_FILE_NAMES) or (known[0] if known and genuine else None)
        folders = (_id_in_name(name, IN_FOLDER_NAMES) for name in reversed(path[shared:-1]))
        subjects.append(subject or next((found for found in folders if found), None))
    return subjects


def _looks_like_kaggle(name: tuple[str, ...]) -> bool:
    """Whether (folder, file) has the form of the Kaggle set's names, with any number."""
    prefix = KAGGLE_SET[name[0]][0] if len(name) == 2 and name[0] in KAGGLE_SET else None
    return prefix is not None and re.fullmatch(rf"({prefix}\d+|\d+( \(\d+\))?)\.jpg", name[1]) is not None


def _id_in_name(name: str, namings: Sequence[re.Pattern]) -> str | None:
    """The id in one file or folder name; None without one, and None if there are two."""
    for found in (archive_ids(name), *(set(naming.findall(name)) for naming in namings)):
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _from_table(paths: Sequence[str | Path], file: str | Path) -> tuple[list[str | None], list[str]]:
    """(the ids of a CSV, notes on it); None for a path that is not in it, or has no subject there."""
    table = read_path_table(file, ("path", "subject"))
    rows = match_paths(paths, table["path"].tolist(), file)
    if paths and all(row is None for row in rows):
        raise UserError(f"{file}: none of its {len(table)} rows matches any of the {len(paths)} paths, "
                        f"for instance {paths[0]}")
    subjects = subject_ids(table["subject"])
    notes = rows_without_patient(file, table["subject"].tolist())
    return [subjects[row] if row is not None else None for row in rows], notes
