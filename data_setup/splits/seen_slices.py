"""Marks single images that a model was trained on, or whose patient it was trained on, without the others at hand."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_setup.images.read import read_gray
from data_setup.similarity.copy_search import CopySearch
from data_setup.similarity.workers import parallel_map
from data_setup.splits.seen_in_training import data_set_folders, in_data_set, is_global_id
from data_setup.subjects.archive_ids import canonical_id

PATIENT, PIXELS, NO = "patient", "pixels", "no"


class SeenSlices:
    """What a checkpoint was trained on: its `seen` entry, and the training and validation slices if available.

    `seen` holds subjects, digests and folders; `trained` has the columns path and class, and is empty if the slices are
    not available: then altered copies are not recognised. `known` is False for an old checkpoint that records nothing:
    then all marks are "". `same_ids` collects ids that are equal to those of training patients but are outside the
    training data's folders, where they may belong to other patients.
    """

    def __init__(self, seen: dict, trained: pd.DataFrame):
        self.ids = {canonical_id(subject) for subject in seen.get("subjects", [])}
        self.digests = set(seen.get("digests", []))
        self.folders = seen.get("folders") or data_set_folders(trained)
        paths = trained["path"].tolist()
        self.known = bool(self.digests or paths)
        self.copies = CopySearch(parallel_map(read_gray, paths)) if paths else None
        self.same_ids: set[str] = set()

    @property
    def notes(self) -> list[str]:
        """What cannot be recognised."""
        if not self.known:
            return ["which slices the model was trained on is not recorded: none is marked as seen in training"]
        return [] if self.copies else ["altered copies of training slices are not recognised, equal pixels and ids are"]

    @property
    def late_notes(self) -> list[str]:
        """What is known after all images were marked: ids that may or may not be those of training patients."""
        if not self.same_ids:
            return []
        some = ", ".join(sorted(self.same_ids)[:3]) + ", …" * (len(self.same_ids) > 3)
        return [f"{len(self.same_ids)} patients have ids of training patients ({some}) and are not marked: the ids are "
                "not an archive's, and the images are outside the training data's folders"]

    def mark(self, paths: Sequence[str], subjects: Sequence[str | None], digests: Sequence[str | None],
             grays: Sequence[np.ndarray]) -> list[str]:
        """"pixels" for a copy of a training slice, "patient" for another slice of a training patient, "no" for others.
        """
        if not self.known:
            return [""] * len(paths)
        copies = self.copies.find(grays) if self.copies else [None] * len(paths)
        inside = in_data_set(paths, self.folders)
        marks = []
        for path, subject, digest, copy, in_folder in zip(paths, subjects, digests, copies, inside, strict=True):
            named = None if pd.isna(subject) else canonical_id(subject)
            mark = NO
            if copy is not None or (digest is not None and digest in self.digests):
                mark = PIXELS
            elif named in self.ids and (in_folder or is_global_id(path, named)):
                mark = PATIENT
            elif named in self.ids:
                self.same_ids.add(str(subject))
            marks.append(mark)
        return marks
