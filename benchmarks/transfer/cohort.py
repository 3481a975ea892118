"""The slices of a data set in folds of patients, and each row's out-of-fold predictions on disk."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd

from data_setup.loading.cohort import read_cohort as read_slices
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.out_of_fold import OutOfFold
from functions.evaluation.stages import healthy_stage
from functions.runtime.atomic_files import write_text
from functions.runtime.csv_files import read_csv
from functions.runtime.errors import UserError


def read_cohort(data: Path, folds: int, repeats: int, seed: int) -> Cohort:
    """All slices below DATA, pooled whatever split folder they are in; UserError if a patient is unknown."""
    settings = Namespace(train_dir=data, test_dir=None, val_dir=None, demo=False, table=None, subjects=None,
                         subject_pattern=None)
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
        self.rows = (read_csv(self.file, ("subject",)) if self.file.exists()
                     else pd.DataFrame(columns=columns))
        if list(self.rows.columns) != columns or not set(self.rows["subject"]) <= set(self.ids):
            raise UserError(f"{self.file} is of other data: remove it, or name another folder with --out")
        if not self._of_these_folds():
            raise UserError(f"{self.file} is of other folds (--folds, --seed): remove it, or name another folder with "
                            "--out")

    def _of_these_folds(self) -> bool:
        """Whether the patients tested in each fold on disk are those of the cohort's; other repeats are not known."""
        known = [dict(zip(self.ids, folds, strict=True)) for folds in self.cohort.patient_folds()]
        return all(repeat >= len(known) or known[int(repeat)][subject] == fold for repeat, fold, subject in zip(
            self.rows["repeat"], self.rows["fold"], self.rows["subject"], strict=True))

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

    def complete(self) -> OutOfFold:
        """The predictions of the repeats in which every patient was tested."""
        columns = [f"p_{name}" for name in self.cohort.class_names]
        whole = [part.set_index("subject").loc[self.ids] for _, part in self.rows.groupby("repeat")
                 if set(part["subject"]) == set(self.ids)]
        shape = (len(whole), len(self.ids), len(columns))
        return OutOfFold(self.cohort.class_names, self.labels, self.ids,
                         np.array([part[columns].to_numpy(dtype=float) for part in whole]).reshape(shape),
                         np.array([part["fold"].to_numpy(dtype=int) for part in whole]).reshape(shape[:2]))


def check_inputs(folder: Path, inputs: dict[str, str]) -> None:
    """Writes what the results in a folder were computed from, OUT/inputs.json; UserError, naming it, for other inputs.

    `inputs` are values by name, such as the SHA-256 of each file of weights; names that are new are added.
    """
    file = folder / "inputs.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, value in inputs.items():
        if known.get(name, value) != value:
            raise UserError(f"{folder} has results with another value of {name}: name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(known | inputs, indent=1) + "\n")
