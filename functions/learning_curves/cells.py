"""The results of a comparison on disk: one file per method, number of patients, repeat and fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from functions.cross_validation.cohort import Cohort
from functions.cross_validation.out_of_fold import OutOfFold
from functions.learning_curves.methods import size_name
from functions.runtime.atomic_files import write_text
from functions.runtime.csv_files import read_csv
from functions.runtime.errors import UserError

COSTS = ("seconds", "cpu_seconds", "images", "patients")       # columns of a file, the same in each row


class Cell(NamedTuple):
    """One fit: a method on `size` training patients of a fold of a repeat, both counted from 0."""

    method: str
    size: int
    repeat: int
    fold: int

    @property
    def file(self) -> str:
        return f"{self.method}/{size_name(self.size)}-r{self.repeat + 1}f{self.fold + 1}.csv"


class Fit(NamedTuple):
    """What a fit gave: class probabilities (patients, K) of the test patients; seconds of time and of the CPU, images
    trained on, patients trained on.
    """

    probabilities: np.ndarray
    seconds: float
    cpu_seconds: float
    images: int
    patients: int


@dataclass(frozen=True)
class Curve:
    """A method with a number of training patients: predictions of all patients and mean cost of a fit."""

    method: str
    size: int
    found: OutOfFold
    seconds: float
    cpu_seconds: float
    images: int
    patients: float


class Cells:
    """The files below FOLDER/predictions."""

    def __init__(self, folder: Path, cohort: Cohort):
        self.folder, self.cohort = folder / "predictions", cohort
        _, self.labels, self.ids = cohort.patients(np.zeros((len(cohort.labels), 1)))
        self.folds = cohort.patient_folds()
        self.columns = ["subject", "class", *(f"p_{name}" for name in cohort.class_names), *COSTS]

    def finished(self, cell: Cell) -> bool:
        return (self.folder / cell.file).exists()

    def write(self, cell: Cell, fit: Fit) -> None:
        """Writes a fit: the file is there wholly or not at all."""
        tested = self.folds[cell.repeat] == cell.fold
        names = [self.cohort.class_names[label] for label in self.labels[tested]]
        table = pd.DataFrame(fit.probabilities, columns=self.columns[2:-len(COSTS)])
        table.insert(0, "class", names)
        table.insert(0, "subject", self.ids[tested])
        for column, value in zip(COSTS, fit[1:], strict=True):
            table[column] = value
        file = self.folder / cell.file
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, table.to_csv(index=False))

    def read(self, cell: Cell) -> Fit:
        """A finished fit; UserError if the file is damaged or of other patients."""
        file, tested = self.folder / cell.file, self.folds[cell.repeat] == cell.fold
        try:
            table = read_csv(file, ("subject", "class"))
            right = list(table.columns) == self.columns and table["subject"].tolist() == self.ids[tested].tolist()
            values = table[self.columns[2:]].to_numpy(dtype=float)
        except (ValueError, KeyError, pd.errors.ParserError):
            right, values = False, np.zeros((1, 1))
        if not right or not np.isfinite(values).all():
            raise UserError(f"{file} is damaged or of other patients: remove it, and the same command computes it "
                            "again")
        seconds, cpu_seconds, images, patients = values[0, -len(COSTS):]
        return Fit(values[:, :-len(COSTS)], float(seconds), float(cpu_seconds), int(images), int(patients))

    def curve(self, method: str, size: int) -> Curve | None:
        """The predictions of all patients in every repeat; None if a fit is missing."""
        probabilities = np.zeros((*self.folds.shape, len(self.cohort.class_names)))
        cells = [Cell(method, size, repeat, fold) for repeat in range(len(self.folds))
                 for fold in range(self.cohort.num_folds)]
        if not all(map(self.finished, cells)):
            return None
        fits = [self.read(cell) for cell in cells]
        for cell, fit in zip(cells, fits, strict=True):
            probabilities[cell.repeat, self.folds[cell.repeat] == cell.fold] = fit.probabilities
        found = OutOfFold(self.cohort.class_names, self.labels, self.ids, probabilities, self.folds)
        seconds, cpu_seconds, images, patients = np.mean([fit[1:] for fit in fits], axis=0)
        return Curve(method, size, found, float(seconds), float(cpu_seconds), round(images), float(patients))
