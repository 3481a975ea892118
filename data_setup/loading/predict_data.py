"""The slices to score with a checkpoint, preprocessed as it expects, and whether it was trained on their patients."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_setup.clinical.slices import assign_with_table, list_folders, with_patients
from data_setup.clinical.table import ClinicalTable
from data_setup.images.read import read_gray
from data_setup.images.resize import from_description
from data_setup.listing.class_folders import Listing, class_name
from data_setup.listing.moved_data import WrittenSplit
from data_setup.listing.split_folders import find_split_folders, split_of
from data_setup.loading.dataset import Decoded, decode
from data_setup.loading.transforms import make_transforms
from data_setup.similarity.nearest_slice import nearest_labels
from data_setup.similarity.neighbours import Neighbours, find_neighbours
from data_setup.splits import seen_in_training
from data_setup.splits.seen_in_training import data_set_folders, in_data_set, is_global_id, training_copies
from data_setup.subjects.find import subjects_of_slices
from data_setup.subjects.path_tables import from_table, read_path_table, subject_ids
from data_setup.subjects.proposed_patterns import subject_advice
from functions.runtime.errors import UserError, not_a_file, printable


@dataclass
class RowsToScore:
    """Tables of (path, class, label, subject, who): `test`, and `val` and `train` if a run's own split is available.

    `who` is the patient, or the path of a slice whose patient is unknown; `notes` are messages for the reader. `run` is
    the run's folder; `own` is True if the test slices are those of its split.
    """

    parts: dict[str, pd.DataFrame]
    largest: int                                  # the class with most training slices (test slices, if unknown)
    notes: list[str] = field(default_factory=list)
    run: Path | None = None
    own: bool = True

    @property
    def test(self) -> pd.DataFrame:
        return self.parts["test"]

    def batches(self, part: str, device: torch.device, preprocessing: dict, size: int = 32) -> Iterator[Tensor]:
        """A part's slices, in order and preprocessed: batches (B, C, H, W) on the device."""
        images = _decode(self.parts[part]["path"].tolist(), preprocessing).images
        _, transform = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)
        transform = transform.to(device)
        return (transform(pixels.to(device)) for pixels in images.split(size))

    def count_seen(self, checkpoint: dict, run: Path | None = None) -> tuple[int, int] | None:
        """(test slices of patients, test slices by pixels) that the checkpoint was trained on.

        A slice is recognised by equal pixels and, if the training slices are available, as a copy of one (copies.py).
        `run` is the checkpoint's run folder, None for a checkpoint alone. None if the training data are unknown: an old
        checkpoint without a split. Adds a note about equal ids of other data sets.
        """
        seen, trained = checkpoint.get("seen") or {}, self._trained_on(run)
        if not seen.get("digests"):
            if trained.empty:
                return None
            seen = {"subjects": trained["subject"].dropna().tolist(),
                    "digests": _digests(trained["path"].tolist(), checkpoint["preprocessing"])}
        folders, copies = seen.get("folders") or data_set_folders(trained) or None, None
        if trained.empty:
            self.notes.append("the training slices are not available: slices with equal pixels are recognised, altered "
                              "copies of training slices are not")
        else:
            images, neighbours = self._compared if run == self.run else (self._images(trained), None)
            copies = training_copies(images[:-len(self.test)], images[-len(self.test):], neighbours)
        result = seen_in_training.count_seen(self.test["path"].tolist(), self.test["subject"].tolist(),
                         _digests(self.test["path"].tolist(), checkpoint["preprocessing"]), seen,
                         None if self.own and run == self.run else folders, copies)
        if names := result.ambiguous_ids:
            some = ", ".join(names[:3]) + ", …" * (len(names) > 3)
            self.notes.append(f"{len(names)} patients here have ids of training patients ({some}) and count as other "
                              "patients: the ids are not an archive's, and these slices are outside the training "
                              "data's folders and share no pixels with it")
        return result.by_id, result.by_pixels

    def _trained_on(self, run: Path | None) -> pd.DataFrame:
        """The train and val rows of a run's split; empty if its files are missing."""
        if run == self.run:
            parts = [self.parts[name] for name in ("train", "val") if name in self.parts]
            return pd.concat(parts) if parts else self.test.iloc[:0]
        table = own_split(run, None)
        table = table[table["split"].isin(["train", "val"])]
        return table if all(Path(path).is_file() for path in table["path"]) else table.iloc[:0]

    @cached_property
    def _compared(self) -> tuple[list[np.ndarray], Neighbours]:
        """The images of the training, validation and test slices, in this order, and their nearest neighbours."""
        images = self._images(self._trained_on(self.run))
        return images, find_neighbours(images)

    def _images(self, trained: pd.DataFrame) -> list[np.ndarray]:
        return [self.thumbnail(path) for table in (trained, self.test) for path in table["path"]]

    def nearest_neighbour(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The class of each test slice's nearest training or validation slice, over all and over other patients only;
        or None.
        """
        known = self._trained_on(self.run)
        if known.empty:
            return None
        both = pd.concat([known, self.test], ignore_index=True)
        test = np.arange(len(both)) >= len(known)
        who = both["who"].where(~test | self._same_ids(both, known), "another data set's " + both["who"])
        return nearest_labels(self._compared[1], both["label"].to_numpy(), pd.factorize(who)[0], test)

    def _same_ids(self, both: pd.DataFrame, known: pd.DataFrame) -> np.ndarray:
        """Which of these rows, bool (n,), have an id that identifies the same patient as in the training data, `known`.
        """
        same = np.array(in_data_set(both["path"].tolist(), data_set_folders(known))) | self.own
        return same | [isinstance(subject, str) and is_global_id(path, subject)
                       for path, subject in zip(both["path"], both["subject"], strict=True)]

    @staticmethod
    def thumbnail(path: str) -> np.ndarray:
        """The gray image of a file (H, W), reduced if it is large."""
        return read_gray(path)


def rows_to_score(run: Path | None, data: Path | None, checkpoint: dict, subjects: Path | None,
                  pattern: str | None, split: WrittenSplit | None = None,
                  clinical: ClinicalTable | None = None) -> RowsToScore:
    """The test slices of the run's own split, or those of `data` instead. UserError for classes unknown to the model.

    `split` is the run's split.csv with the current locations of its slices; None: a run folder without run.json, or
    none. `clinical` is about the slices of `data`: their classes, if it has no class folders, patients, ages, ….
    """
    if data is None and run is None:
        raise UserError("a checkpoint without its run folder needs --data: the slices to score")
    if data is None and (subjects or pattern):
        raise UserError("--subjects and --subject_pattern assign patients to the slices of --data: --data is missing")
    if data is None and (why := not_a_file(run / "split.csv")):
        raise UserError(f"{run} holds no split.csv" + (f" but {why}" if why != "no such file" else "")
                        + ": name slices with --data")
    table, notes = own_split(run, split), []
    if data is not None:
        new, notes = _list(data, clinical)
        found = with_patients(Listing(new, [], []), assign_with_table(
            clinical, bool(subjects or pattern or "subject" in new),
            lambda paths: subjects_of_slices(new, subjects, pattern, data)), clinical)
        notes = [*notes, *found.notes, *(f"CHECK: {fault}" for fault in found.faults)]
        new = found.table.drop(columns=["age", "sex", "site", "scanner"], errors="ignore")
        if new["subject"].isna().any():
            notes.append(subject_advice(new["path"].tolist(), new["class"].tolist()))
        table = pd.concat([table[table["split"] != "test"], new], ignore_index=True)
    table["class"] = table["class"].map(class_name)
    names = [class_name(name) for name in checkpoint["class_names"]]       # older ones may be in NFD
    if unknown := sorted(set(table["class"]) - set(names)):
        path = table.loc[table["class"] == unknown[0], "path"].iloc[0]
        raise UserError(f'class "{unknown[0]}", of {path}, is not a class of the model: its checkpoint has '
                        f'{", ".join(names)}')
    table["label"] = [names.index(name) for name in table["class"]]
    table["who"] = table["subject"].where(table["subject"].notna(), table["path"])
    parts = {split: part.reset_index(drop=True) for split, part in table.groupby("split")}
    if "test" not in parts:
        raise UserError("there are no test slices to score")
    if data is None:
        check_in_place(parts["test"]["path"].tolist(), run, split)
    guess = parts.get("train", parts["test"])["label"]
    for split in ("train", "val"):
        if split in parts and not all(Path(path).is_file() for path in parts[split]["path"]):
            notes.append(f"the run's {split} slices are not found at the paths in split.csv; dependent results are "
                         "omitted")
            del parts[split]
    return RowsToScore(parts, int(np.bincount(guess).argmax()), notes, run, data is None)


def check_in_place(paths: list[str], run: Path, split: WrittenSplit | None) -> None:
    """UserError, with the flags that help, if slices of a run's own split are missing from their paths."""
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        folders = split.folders if split else {"train_dir": "the run's train folder"}
        flags = " ".join(f"--{name} DIR (was {was})" for name, was in folders.items())
        raise UserError(f"{len(missing)} of {len(paths)} test slices of {run} are not at the paths in its split.csv, "
                        f"the first {missing[0]}: restore them, or give their folders: {flags}")


def own_split(run: Path | None, split: WrittenSplit | None) -> pd.DataFrame:
    """Rows (path, class, subject, split) of a run's split.csv; paths are relative to where the run was started."""
    if run is None or not (run / "split.csv").is_file():
        return pd.DataFrame(columns=["path", "class", "subject", "split"], dtype=object)
    table = read_path_table(run / "split.csv", ["path", "class", "subject", "split"]).astype(object)
    table["subject"] = pd.Series(subject_ids(table["subject"]), dtype=object)
    table["path"] = (split or WrittenSplit(run / "split.csv")).resolve(table["path"].tolist())
    return table


ADVICE = "name the folder of class folders to score with --data"


def _list(data: Path, clinical: ClinicalTable | None) -> tuple[pd.DataFrame, list[str]]:
    """Rows (path, class, split "test") of class folders, of the test folder beside train and val, or of a CSV; notes.

    Raises UserError if split folders or the rows of a CSV are given, and none of them is for test.
    """
    if data.is_file():
        table = read_path_table(data, ["path", "class", "split"], ["subject"]).astype(object)
        test = table["split"].map(split_of) == "test"
        if not test.any():
            raise UserError(f"--data {data} has no row of split test: rows for training are not scored; write "
                            'test into the column "split" of the rows to score')
        table = table[test].reset_index(drop=True)
        table["path"] = from_table(data, table["path"].tolist())
        left = f": {(~test).sum()} rows of other splits are left out" if (~test).any() else ""
        return table.assign(split="test"), [f"the test rows of {data}{left}"]
    if not data.is_dir():
        why = not_a_file(data)
        raise UserError(f"--data {data} " + ("does not exist: it must hold a folder of images for each class"
                                             if why == "no such file" else f"is {why}"))
    found, notes = find_split_folders(data, ADVICE, clinical is not None and clinical.has_class), []
    if found is not None and "test" not in found.folders:
        other = next(iter(found.folders.values()))
        raise UserError(f"--data {data} holds {other.name}/ but no test folder: to score {other}, give "
                        f"--data {other}")
    folder = found.folders["test"] if found is not None else data
    listing = list_folders({"test": folder}, clinical, ADVICE)
    if found is not None:
        remainder = f", without {', '.join(printable(path.name) for path in found.beside)}" if found.beside else ""
        notes.append(f"the slices of {folder}{remainder}")
    notes += [f"CHECK: {warning}" for warning in listing.warnings]
    if listing.left_out:
        notes.append(f"{len(listing.left_out)} files or folders are left out; the first: {listing.left_out[0]}")
    return listing.table, notes


def _digests(paths: list[str], preprocessing: dict) -> list[str | None]:
    """Hashes of the slices' pixels at the model's size, None for blank ones."""
    return _decode(paths, preprocessing).digests_of_content(np.prod(preprocessing["image_size"]))


def _decode(paths: list[str], preprocessing: dict) -> Decoded:
    decoded = decode(paths, from_description(preprocessing), preprocessing["channels"], keep=True)
    if decoded.errors:
        first = next(iter(decoded.errors.values()))
        raise UserError(f"{len(decoded.errors)} of {len(paths)} slices cannot be read: repair or remove them; the "
                        f"first: {first}")
    return decoded
