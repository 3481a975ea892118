"""Loads the data of a training run's settings."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import torch

from data_setup.listing.class_folders import check_exist
from data_setup.listing.data_folders import Folders, find_folders
from data_setup.listing.moved_data import WrittenSplit
from data_setup.loading.dataloaders import Data, create_dataloaders
from functions.runtime.errors import UserError


def find_run_folders(settings: Namespace) -> Folders:
    """The folders that a run reads: the given ones, data/, or the phantom. UserError if one of them does not exist."""
    folders = find_folders(settings.train_dir, settings.test_dir, settings.val_dir, settings.demo,
                           settings.table is not None)
    check_exist({"train": folders.train, "test": folders.test, "val": folders.val})
    return folders


def load_run_data(settings: Namespace, folders: Folders, split: str | Path | WrittenSplit, device: torch.device,
                  preprocessing: dict | None = None) -> Data:
    """The run's data, read from the folders of `find_run_folders`.

    `split` is that of the settings, or the split.csv of a resumed run; `preprocessing` is that of pretrained weights.
    Raises UserError, one line, for data that cannot be used.
    """
    data = create_dataloaders(
        folders.train, folders.test, settings.batch_size, image_size=settings.image_size,
        channels=settings.in_channels, device=device, preprocessing=preprocessing, val_dir=folders.val, split=split,
        subjects=settings.subjects, subject_pattern=settings.subject_pattern, table=settings.table, seed=settings.seed,
        augment=settings.augment, mixup=settings.mixup, cutmix=settings.cutmix, num_workers=settings.num_workers,
    )
    if settings.num_classes not in (None, len(data.class_names)):
        raise UserError(f"--num_classes {settings.num_classes}, but the data has {len(data.class_names)} classes: "
                        f"{', '.join(data.class_names)}")
    return replace(data, notes=[*folders.notes, *data.notes])
