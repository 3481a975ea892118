"""Age and sex of patients from a data set's table, for a baseline that sees no image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_setup.subjects.path_tables import match_paths, read_path_table
from functions.runtime.errors import UserError

SEX = {"f": 0.0, "female": 0.0, "w": 0.0, "m": 1.0, "male": 1.0}


def age_and_sex(file: Path, paths: Sequence[str]) -> np.ndarray:
    """(n, 2): age in years and 0 (female) or 1 (male) of each path, from a table with the columns path, age, sex.

    UserError if the table lacks a column, or if a path has no row, no number as age or another sex.
    """
    table = read_path_table(file, ["path", "age", "sex"])
    rows = match_paths(paths, table["path"].tolist(), file)
    found = np.full((len(paths), 2), np.nan)
    for number, row in enumerate(rows):
        if row is not None:
            age, sex = table["age"][row].strip(), table["sex"][row].strip().lower()
            found[number] = (float(age) if age.replace(".", "", 1).isdecimal() else np.nan, SEX.get(sex, np.nan))
    if unknown := np.isnan(found).any(axis=1).sum():
        raise UserError(f"{file}: {unknown} of {len(paths)} slices have no row with an age and a sex (F or M)")
    return found
