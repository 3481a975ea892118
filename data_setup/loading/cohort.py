"""All slices of a data set with their patients, divided into folds; the split of each fold, and batches of any slices.
"""

import hashlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from data_setup.clinical.slices import list_patients
from data_setup.clinical.table import read_clinical_table
from data_setup.images.resize import Frame
from data_setup.loading.batches import Batches
from data_setup.loading.dataloaders import assigned_by
from data_setup.loading.dataset import SliceDataset, decode
from data_setup.loading.run_data import find_run_folders
from data_setup.loading.transforms import make_transforms
from data_setup.splits.balance import sort_keys
from data_setup.splits.folds import patient_folds
from data_setup.splits.split import VAL_SHARE, hold_out
from functions.runtime.errors import UserError


class Cohort:
    """Slices, `table` with the columns path, class, subject, and their folds (R, slices)."""

    def __init__(self, table: pd.DataFrame, folds: np.ndarray, notes: tuple[str, ...] = ()):
        self.table, self.folds, self.notes = table, folds, notes
        self.class_names = sorted(table["class"].unique())

    @property
    def num_patients(self) -> int:
        return int(self.table["subject"].nunique())

    @property
    def fold_table(self) -> pd.DataFrame:
        """path, class, subject, and the fold of each repeat, counted from 1."""
        names = [f"repeat_{number}" for number in range(1, len(self.folds) + 1)]
        return self.table.join(pd.DataFrame(self.folds.T + 1, columns=names))

    @property
    def digest(self) -> str:
        """A hash of the slices' paths, classes, patients and folds."""
        return hashlib.sha256(self.fold_table.to_csv(index=False).encode()).hexdigest()

    def splits(self, seed: int) -> Iterator[tuple[int, int, pd.DataFrame]]:
        """(repeat, fold, table with the column split) of every fold, counted from 0.

        The fold's patients are test, and val is held out from the others by patient.
        """
        for repeat, folds in enumerate(self.folds):
            for fold in range(int(folds.max()) + 1):
                others = np.flatnonzero(folds != fold)
                rows = self.table.iloc[others]
                held = hold_out(rows["class"].tolist(), rows["subject"].tolist(), VAL_SHARE, seed)
                split = np.full(len(folds), "test", dtype=object)
                split[others] = np.where(held, "val", "train")
                yield repeat, fold, self.table.assign(split=split)


def read_cohort(settings: Namespace, folds: int, repeats: int, seed: int) -> Cohort:
    """The slices of a training script's data folders, pooled whatever folder they are in, divided into folds.

    UserError if the patient of a slice is unknown: a cross-validation over slices would test patients that were
    trained on.
    """
    folders = find_run_folders(settings)
    named = {"train": folders.train, "val": folders.val, "test": folders.test}
    clinical = None if settings.table is None else read_clinical_table(settings.table)
    listing = list_patients({name: Path(folder) for name, folder in named.items() if folder is not None},
                            assigned_by(clinical, settings.subjects, settings.subject_pattern, False), clinical)
    table = listing.table
    if unknown := int(table["subject"].isna().sum()):
        raise UserError(f"the patients of {unknown} of {len(table)} slices are unknown: a cross-validation needs them, "
                        "give --subjects FILE or --subject_pattern X")
    table = table.sort_values("path", ignore_index=True)
    assigned = patient_folds(table["class"].tolist(), table["subject"].tolist(), folds, repeats, seed,
                             sort_keys(table))
    left_out = [f"{len(listing.left_out):,} files or folders left out, the first {listing.left_out[0]}"
                ] if listing.left_out else []
    checks = (f"CHECK: {fault}" for fault in (*listing.warnings, *listing.faults))
    notes = (*folders.notes, *listing.notes, *left_out, *checks)
    return Cohort(table[["path", "class", "subject"]], assigned, notes)


class CohortImages:
    """All slices of a cohort's `table`, decoded once, on the device; UserError if one cannot be read."""

    def __init__(self, table: pd.DataFrame, class_names: list[str], frame: Frame, channels: int, mean: list[float],
                 std: list[float], device: torch.device):
        decoded = decode(table["path"].tolist(), frame, channels, True)
        if decoded.errors:
            raise UserError(next(iter(decoded.errors.values())))
        images = decoded.images.to(device)
        self.dataset = SliceDataset(table, class_names, frame, channels, images)
        self.training, self.scoring = make_transforms(mean, std, True)
        self.device = device

    def batches(self, rows: np.ndarray, size: int, train: bool = False) -> Batches:
        """Batches of the slices in these rows: shuffled and augmented, or in order."""
        return Batches(self.dataset, size, train, self.training if train else self.scoring, self.device,
                       rows=rows.tolist())
