"""Age, sex, site and scanner of test patients, from a clinical table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from functions.evaluation.predictions import Predictions

SEVERAL = "several"        # the site or scanner of a patient who has slices of several
TRAITS = ("sex", "site", "scanner")


@dataclass(frozen=True)
class Covariates:
    """Of each patient: age (n,) in years, nan if unknown; sex (M, F, O), site and scanner (n,), None if unknown."""

    age: np.ndarray
    sex: np.ndarray
    site: np.ndarray
    scanner: np.ndarray


def of_patients(predictions: Predictions, columns: pd.DataFrame) -> Covariates:
    """The covariates of each row of `predictions.rows("patient")`, from those of the slices: age, sex, site, scanner.

    The age is the mean over the patient's slices that have one.
    """
    return covariates(list(zip(predictions.subjects.tolist(), predictions.labels.tolist(), strict=True)), columns)


def covariates(patients: Sequence[tuple[str, int]], columns: pd.DataFrame) -> Covariates:
    """The covariates of each (id, label) of slices, in the order of `patients.by_patient`."""
    order = sorted(set(patients), key=lambda key: (str(key[0]), key[1]))
    place = {key: row for row, key in enumerate(order)}
    rows = np.array([place[key] for key in patients])
    age = columns["age"].to_numpy(dtype=float)
    known = np.isfinite(age)
    totals, counts = (np.bincount(rows[known], values, len(order)) for values in (age[known], None))
    with np.errstate(invalid="ignore"):
        ages = totals / counts
    return Covariates(ages, *(_one_each(rows, columns[name].tolist(), len(order)) for name in TRAITS))


def _one_each(rows: np.ndarray, values: Sequence, count: int) -> np.ndarray:
    found: list[dict] = [{} for _ in range(count)]
    for row, value in zip(rows.tolist(), values, strict=True):
        if not pd.isna(value):
            found[row][value] = None
    return np.array([next(iter(one)) if len(one) == 1 else SEVERAL if one else None for one in found], dtype=object)
