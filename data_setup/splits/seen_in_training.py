"""Finds slices of patients that a model was trained on, or with pixels that it was trained on.

An archive's id identifies a patient everywhere. Any other id, such as `sub-001` or `pixels-0000`, identifies a patient
only within its data set: the training data's folders, the split folders beside them, and data that shares pixels with
them.
"""

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_setup.listing.split_folders import split_of
from data_setup.similarity.copies import find_copies
from data_setup.similarity.neighbours import Neighbours
from data_setup.subjects.archive_ids import canonical_id, is_archive_id
from data_setup.subjects.find import kaggle_slice


class Seen(NamedTuple):
    """Numbers of slices of seen patients by id and by pixels, and ids that belong to other patients.

    By pixels: equal to a training slice, or a copy of one.
    """

    by_id: int
    by_pixels: int
    ambiguous_ids: list[str]


def count_seen(paths: Sequence[str], subjects: Sequence[str | None], digests: Sequence[str | None], seen: dict,
            folders: Sequence[str] | None, copies: Sequence[bool] | None = None) -> Seen:
    """Compares slices with the `subjects` and `digests` that a checkpoint was trained on.

    `folders` are those of its data set; None if the slices belong to that data set, or nothing is known about it.
    `copies` marks slices that are re-encoded or altered copies of training slices (`training_copies`).
    """
    known_pixels = set(seen["digests"])
    same_pixels = [copy or (digest is not None and digest in known_pixels)
                   for copy, digest in zip(copies or [False] * len(digests), digests, strict=True)]
    ids = [None if pd.isna(subject) else canonical_id(subject) for subject in subjects]
    known_ids = {canonical_id(subject) for subject in seen["subjects"]}
    ids_apply = folders is None or any(same_pixels)
    same_set = [True] * len(paths) if ids_apply else in_data_set(paths, folders)
    same_id = [row for row, subject in enumerate(ids) if subject in known_ids]
    seen_rows = [row for row in same_id if same_set[row] or is_global_id(paths[row], ids[row])]
    ambiguous_ids = {ids[row] for row in same_id} - {ids[row] for row in seen_rows}
    return Seen(len(seen_rows), sum(same_pixels), sorted(ambiguous_ids))


def training_copies(trained: Sequence[np.ndarray], tested: Sequence[np.ndarray],
                    neighbours: Neighbours | None = None) -> list[bool]:
    """Which test images (H, W) are copies of a training image, by the search of the audit (copies.py).

    A copy shows the same slice: re-encoded (JPEG), resized, mirrored, rotated, shifted, or with other brightness.
    `neighbours`: those of both sets, if already known.
    """
    first, images = len(trained), [*trained, *tested]
    found = {copy.second for copy in find_copies(images, neighbours=neighbours, queries=np.arange(len(images)) >= first)
             if copy.first < first <= copy.second}
    return [row in found for row in range(first, first + len(tested))]


def is_global_id(path: str, subject: str) -> bool:
    """Whether the id identifies a patient in every data set: an archive's id, or a name of the Kaggle set."""
    numbered = kaggle_slice(path)
    return is_archive_id(subject) or (numbered is not None and numbered[0] == subject)


def in_data_set(paths: Sequence[str], folders: Sequence[str]) -> list[bool]:
    """Whether each file is in one of a data set's folders, or in a split folder (train, test) beside one of them."""
    own = {PurePath(os.path.realpath(folder)) for folder in folders}
    beside = {folder.parent for folder in own if split_of(folder.name)}
    answers = {}                                             # of each file's folder: there are few
    for path in paths:
        parent = os.path.dirname(path)
        if parent not in answers:
            above = PurePath(os.path.realpath(parent))
            answers[parent] = any(folder in own or (folder.parent in beside and split_of(folder.name) is not None)
                                  for folder in (above, *above.parents))
    return [answers[os.path.dirname(path)] for path in paths]


def data_set_folders(table: pd.DataFrame) -> list[str]:
    """The folders of the class folders that contain a split's files (path, class)."""
    found = set()
    for path, name in zip(table["path"], table["class"], strict=True):
        parts = PurePath(os.path.abspath(path)).parts
        if name in parts[1:-1]:
            found.add(str(PurePath(*parts[:len(parts) - 2 - parts[-2::-1].index(name)])))
    return sorted(found)
