"""The slices of a data set with their labels, patients and folds, as arrays."""

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from functions.evaluation.patients import by_patient


class Cohort(NamedTuple):
    """All slices of a data set, whatever folder they were published in, and the folds of their patients.

    `table` has the columns path, class, subject; `labels` (n,) are class indices, `folds` (R, n) the fold of each slice
    in each repeat, `healthy` the index of the healthy class, None where none is known.
    """

    table: pd.DataFrame
    class_names: list[str]
    labels: np.ndarray
    folds: np.ndarray
    healthy: int | None

    @property
    def subjects(self) -> np.ndarray:
        return self.table["subject"].to_numpy()

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(subject, class) of each slice: a patient with several classes counts once per class."""
        return list(zip(self.table["subject"], self.table["class"], strict=True))

    @property
    def digest(self) -> str:
        """A hash of the slices' paths, classes and patients."""
        return hashlib.sha256(self.table[["path", "class", "subject"]].to_csv(index=False).encode()).hexdigest()

    @property
    def num_folds(self) -> int:
        return int(self.folds.max()) + 1

    def patients(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(means of `values` (n, D) over each patient's slices, labels, ids), one row per patient in order of ids."""
        return by_patient(values, self.labels, self.subjects)

    def patient_folds(self) -> np.ndarray:
        """The fold of each patient in each repeat (R, patients), in the order of `patients`."""
        return self.patients(self.folds.T.astype(float))[0].T.round().astype(int)

    def select(self, rows: np.ndarray) -> "Cohort":
        """The cohort of these slices only, bool (n,)."""
        return self._replace(table=self.table[rows].reset_index(drop=True), labels=self.labels[rows],
                             folds=self.folds[:, rows])

    def tested(self, repeat: int, fold: int) -> np.ndarray:
        """Whether each slice is one of the fold's test patients, bool (n,)."""
        return self.folds[repeat] == fold
