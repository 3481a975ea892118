"""Reads a split from `split.csv`: a new run uses exactly these slices in exactly these splits."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from data_setup.listing.moved_data import WrittenSplit
from data_setup.subjects.path_tables import match_paths, read_path_table, rows_without_patient, subject_ids
from functions.runtime.errors import UserError, not_a_file

COLUMNS = ["path", "class", "subject", "split"]
SPLITS = ["train", "val", "test"]


def read_split(file: str | Path | WrittenSplit, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """(the table with split and subject from a CSV (path, class, subject, split) that lists exactly its slices, notes).

    A note says how many rows have no patient; a run's own split has none, as it was reported when it was made.
    Where the CSV has no subject, the table's own is kept. Paths are matched by `path_tables.match_paths`; those of a
    run's own split after relocation.
    Raises UserError, one line with the file, the count and the first case: slices in only one of the two, another
    class, a split other than train, val, test; and if no slice is in train or none in test.
    """
    written = file if isinstance(file, WrittenSplit) else None
    file = written.file if written else file
    if why := not_a_file(file):
        why = "no such CSV file" if why == "no such file" else why
        raise UserError(f"--split {file}: {why}; expected a CSV file, auto, folder, patient or slice")
    given = read_path_table(file, COLUMNS)
    notes = [] if written else rows_without_patient(file, given["subject"].tolist())
    if written:
        given["path"] = written.relocated(given["path"].tolist())
    rows = match_paths(table["path"].tolist(), given["path"].tolist(), file)
    missing = [path for path, row in zip(table["path"], rows, strict=True) if row is None]
    _refuse(file, missing, "slices of the data are not in it")
    _refuse(file, given["path"].drop([row for row in rows if row is not None]), "of its slices are not in the data")
    given = given.iloc[rows].set_index(table.index)
    given["split"] = given["split"].str.strip()
    invalid = given["split"][~given["split"].isin(SPLITS)]
    _refuse(file, invalid, f"splits are not one of {', '.join(SPLITS)}")
    normalised = [column["class"].map(lambda name: unicodedata.normalize("NFC", name)) for column in (given, table)]
    other = (given["class"] + " for " + table["path"].map(str))[normalised[0] != normalised[1]]
    _refuse(file, other, "classes differ from the folder")
    for name in ("train", "test"):
        if not (given["split"] == name).any():
            raise UserError(f"{file}: no slice has split {name}")
    subject = pd.Series(subject_ids(given["subject"]), index=table.index, dtype=object)
    subject = subject.where(subject.notna(), table["subject"])
    return table.assign(split=given["split"].astype(object), subject=subject), notes


def _refuse(file: str | Path, wrong: Sequence, what: str) -> None:
    if len(wrong):
        raise UserError(f"{file}: {len(wrong)} {what}, the first {list(wrong)[0]}")
