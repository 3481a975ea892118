"""The slices of a data set in folds of patients, and each row's out-of-fold predictions on disk."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd

from data_setup.loading.cohort import read_cohort as read_slices
from functions.cross_validation.cohort import Cohort
from functions.evaluation.stages import healthy_stage
from functions.runtime.atomic_files import write_text
from functions.runtime.errors import UserError


def read_cohort(data: Path, folds: int, repeats: int, seed: int) -> Cohort:
    """All slices below DATA, pooled whatever split folder they are in; UserError if a patient is unknown."""
    settings = Namespace(train_dir=data, test_dir=None, val_dir=None, demo=False, subjects=None, subject_pattern=None)
    found = read_slices(settings, folds, repeats, seed)
    if (healthy := healthy_stage(found.class_names)) is None:
        raise UserError(f"none of the classes {', '.join(found.class_names)} is the healthy one")
    labels = np.array([found.class_names.index(name) for name in found.table["class"]])
    return Cohort(found.table, found.class_names, labels, found.folds, healthy)


class Results:
    """One row's out-of-fold class probabilities of patients, written after every fold: OUT/<name>.csv."""

    def __init__(self, folder: Path, name: str, cohort: Cohort):
        self.file, self.cohort = folder / f"{name}.csv", cohort
        _, self.labels, self.ids = cohort.patients(np.zeros((len(cohort.labels), 1)))
        columns = ["repeat", "fold", "subject", *(f"p_{name}" for name in cohort.class_names), "seconds"]
        self.rows = (pd.read_csv(self.file, dtype={"subject": str}) if self.file.exists()
                     else pd.DataFrame(columns=columns))
        if list(self.rows.columns) != columns or not set(self.rows["subject"]) <= set(self.ids):
            raise UserError(f"{self.file} is of other data: remove it, or name another folder with --out")

    def finished(self, repeat: int, fold: int) -> bool:
        return bool(((self.rows["repeat"] == repeat) & (self.rows["fold"] == fold)).any())

    def add(self, repeat: int, fold: int, subjects: np.ndarray, probabilities: np.ndarray, seconds: float) -> None:
        """The probabilities (patients, K) of the test patients of a fold; `seconds` is what training them cost."""
        new = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in self.cohort.class_names])
        new.insert(0, "subject", subjects)
        new.insert(0, "fold", fold)
        new.insert(0, "repeat", repeat)
        new["seconds"] = seconds
        self.rows = new if self.rows.empty else pd.concat([self.rows, new], ignore_index=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.file, self.rows.to_csv(index=False, float_format="%.6g"))

    def complete(self) -> np.ndarray:
        """Probabilities (R, patients, K) of the repeats in which every patient was tested, patients as in `ids`."""
        columns = [f"p_{name}" for name in self.cohort.class_names]
        repeats = [part.set_index("subject").loc[self.ids, columns].to_numpy()
                   for _, part in self.rows.groupby("repeat") if set(part["subject"]) == set(self.ids)]
        return np.array(repeats)
