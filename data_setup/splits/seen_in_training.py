"""Whether slices are of patients, or have pixels, that a model was trained on.

An archive's id means one patient everywhere. Any other id, `sub-001` or `pixels-0000`, means a patient only within its
data set: the training data's folders, the split folders beside them, and whatever shares pixels with it.
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
    """How many slices are of seen patients by their ids, and by their pixels; ids of other patients called the same.

    By their pixels: equal to a training slice's, or a copy of one.
    """

    by_id: int
    by_pixels: int
    namesakes: list[str]


def compare(paths: Sequence[str], subjects: Sequence[str | None], digests: Sequence[str | None], seen: dict,
            folders: Sequence[str] | None, copies: Sequence[bool] | None = None) -> Seen:
    """Compares slices with what a checkpoint has seen, its `subjects` and `digests`.

    `folders` are those of its data set; None: the slices are of that data set, or nothing is known about it. `copies`
    says which slices are copies, saved anew or altered, of training slices (`training_copies`).
    """
    known_pixels = set(seen["digests"])
    same_pixels = [copy or (digest is not None and digest in known_pixels)
                   for copy, digest in zip(copies or [False] * len(digests), digests, strict=True)]
    ids = [None if pd.isna(subject) else canonical_id(subject) for subject in subjects]
    known_ids = {canonical_id(subject) for subject in seen["subjects"]}
    everywhere = folders is None or any(same_pixels)
    same_set = [True] * len(paths) if everywhere else in_data_set(paths, folders)
    both = [row for row, subject in enumerate(ids) if subject in known_ids]
    met = [row for row in both if same_set[row] or means_one_patient(paths[row], ids[row])]
    return Seen(len(met), sum(same_pixels), sorted({ids[row] for row in both} - {ids[row] for row in met}))


def training_copies(trained: Sequence[np.ndarray], tested: Sequence[np.ndarray],
                    near: Neighbours | None = None) -> list[bool]:
    """Which tested gray pictures (H, W) are copies of a training picture, by the audit's search (copies.py).

    A copy shows the same slice: saved again (JPEG), resized, mirrored, turned, shifted or re-lit. `near`: the
    neighbours of both, if they are known.
    """
    first, pictures = len(trained), [*trained, *tested]
    found = {copy.second for copy in find_copies(pictures, near=near, asked=np.arange(len(pictures)) >= first)
             if copy.first < first <= copy.second}
    return [row in found for row in range(first, first + len(tested))]


def means_one_patient(path: str, subject: str) -> bool:
    """Whether the id means the same patient in every data set: an archive's, or that of the Kaggle set's own names."""
    numbered = kaggle_slice(path)
    return is_archive_id(subject) or (numbered is not None and numbered[0] == subject)


def in_data_set(paths: Sequence[str], folders: Sequence[str]) -> list[bool]:
    """Whether each file lies in one of a data set's folders, or in a split folder (train, test) beside one of them."""
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


def split_folders(table: pd.DataFrame) -> list[str]:
    """The folders of the class folders that a split's files (path, class) lie in."""
    found = set()
    for path, name in zip(table["path"], table["class"], strict=True):
        parts = PurePath(os.path.abspath(path)).parts
        if name in parts[1:-1]:
            found.add(str(PurePath(*parts[:len(parts) - 2 - parts[-2::-1].index(name)])))
    return sorted(found)
