"""The slices a checkpoint is to be scored on, prepared as it wants them; and whether it has met their patients."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_setup.dataset import Decoded, decode
from data_setup.framing import from_description
from data_setup.images import find_image_files, read_image
from data_setup.nearest_picture import nearest_labels
from data_setup.path_tables import read_path_table, subject_ids
from data_setup.seen import compare, in_data_set, means_one_patient, split_folders
from data_setup.subject_patterns import remedy
from data_setup.subjects import find_subjects
from data_setup.transforms import make_transforms
from functions.errors import UserError


@dataclass
class RowsToScore:
    """Tables of (path, class, label, subject, who): `test`, and `val` and `train` where a run's own split is here.

    `who` is the patient, or the slice itself where nobody knows; `notes` are sentences for the reader. `run` is the
    run's folder, `own` says that the test slices are those of its split and not other data.
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
        """A part's slices, in their order, as a checkpoint wants its images: batches (B, C, H, W) on the device."""
        images = _decode(self.parts[part]["path"].tolist(), preprocessing).images
        _, transform = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)
        transform = transform.to(device)
        return (transform(pixels.to(device)) for pixels in images.split(size))

    def met(self, checkpoint: dict, run: Path | None = None) -> tuple[int, int] | None:
        """How many test slices are of patients, and how many have the pixels, that the checkpoint was trained on.

        `run` is the checkpoint's run folder, None for a checkpoint alone. Returns None where nobody knows what it was
        trained on, neither the checkpoint, which is an old one, nor its split. Notes other data sets' ids (seen.py).
        """
        seen, trained = checkpoint.get("seen") or {}, self._trained_on(run)
        if not seen.get("digests"):
            if trained.empty:
                return None
            seen = {"subjects": trained["subject"].dropna().tolist(),
                    "digests": _digests(trained["path"].tolist(), checkpoint["preprocessing"])}
        folders = seen.get("folders") or split_folders(trained) or None
        result = compare(self.test["path"].tolist(), self.test["subject"].tolist(),
                         _digests(self.test["path"].tolist(), checkpoint["preprocessing"]), seen,
                         None if self.own and run == self.run else folders)
        if names := result.namesakes:
            some = ", ".join(names[:3]) + ", …" * (len(names) > 3)
            self.notes.append(f"{len(names)} patients here have ids of training patients ({some}) and count as others: "
                              "the ids are no archive's, and these slices lie outside the training data's folders and "
                              "share no pixels with it")
        return result.by_id, result.by_pixels

    def _trained_on(self, run: Path | None) -> pd.DataFrame:
        """The train and val rows of a run's split, none where its files are not there."""
        if run == self.run:
            parts = [self.parts[name] for name in ("train", "val") if name in self.parts]
            return pd.concat(parts) if parts else self.test.iloc[:0]
        table = _own_split(run)
        table = table[table["split"].isin(["train", "val"])]
        return table if all(Path(path).is_file() for path in table["path"]) else table.iloc[:0]

    def nearest_neighbour(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The class of each test slice's nearest training picture, as split and among strangers; None without any."""
        if "train" not in self.parts:
            return None
        both = pd.concat([self.parts["train"], self.test], ignore_index=True)
        pictures = [self.thumbnail(path) for path in both["path"]]
        test = np.arange(len(both)) >= len(self.parts["train"])
        who = both["who"].where(~test | self._same_ids(), "another data set's " + both["who"])
        return nearest_labels(pictures, both["label"].to_numpy(), pd.factorize(who)[0], test)

    def _same_ids(self) -> np.ndarray:
        """Of the train and test rows, bool (n,), whose id means the same patient as in the training data."""
        both = pd.concat([self.parts["train"], self.test], ignore_index=True)
        same = np.array(in_data_set(both["path"].tolist(), split_folders(self.parts["train"]))) | self.own
        return same | [subject is not None and means_one_patient(path, subject)
                       for path, subject in zip(both["path"], both["subject"], strict=True)]

    @staticmethod
    def thumbnail(path: str) -> np.ndarray:
        """The gray picture of a file (H, W)."""
        return read_image(path, 1)[:, :, 0]


def rows_to_score(run: Path | None, data: Path | None, checkpoint: dict, subjects: Path | None,
                  pattern: str | None) -> RowsToScore:
    """The run's own split, or in place of its test slices those of `data`. ValueError for classes the model has not."""
    if data is None and run is None:
        raise UserError("a checkpoint without its run folder needs --data: the slices to score")
    if data is None and (subjects or pattern):
        raise UserError("--subjects and --subject_pattern say whose the slices of --data are: there is no --data")
    if data is None and not (run / "split.csv").is_file():
        raise UserError(f"{run} holds no split.csv: name slices with --data")
    table, notes = _own_split(run), []
    if data is not None:
        new, notes = _list(data)
        new["subject"] = pd.Series(_subjects(new, subjects, pattern), dtype=object)
        if new["subject"].isna().any():
            notes.append(remedy(new["path"].tolist(), new["class"].tolist()))
        table = pd.concat([table[table["split"] != "test"], new], ignore_index=True)
    names = checkpoint["class_names"]
    if strange := sorted(set(table["class"]) - set(names)):
        raise UserError(f'class "{strange[0]}" is none of the model\'s: {", ".join(names)}')
    table["label"] = [names.index(name) for name in table["class"]]
    table["who"] = table["subject"].where(table["subject"].notna(), table["path"])
    parts = {split: part.reset_index(drop=True) for split, part in table.groupby("split")}
    if "test" not in parts:
        raise UserError("there are no test slices to score")
    guess = parts.get("train", parts["test"])["label"]
    for split in ("train", "val"):
        if split in parts and not all(Path(path).is_file() for path in parts[split]["path"]):
            notes.append(f"the run's {split} slices are not where split.csv says: what needs them is left out")
            del parts[split]
    return RowsToScore(parts, int(np.bincount(guess).argmax()), notes, run, data is None)


def _subjects(table: pd.DataFrame, subjects: Path | None, pattern: str | None) -> list[str | None]:
    """The ids by a table of subjects, a pattern, the data table's own column or the names, in this order."""
    found = find_subjects(table["path"].tolist(), subjects, pattern)
    if subjects or pattern or "subject" not in table:
        return found
    return [own or named for own, named in zip(subject_ids(table["subject"]), found, strict=True)]


def _own_split(run: Path | None) -> pd.DataFrame:
    """Rows (path, class, subject, split) of a run's split.csv; paths were written where the run was started."""
    if run is None or not (run / "split.csv").is_file():
        return pd.DataFrame(columns=["path", "class", "subject", "split"], dtype=object)
    table = read_path_table(run / "split.csv", ["path", "class", "subject", "split"]).astype(object)
    table["subject"] = pd.Series(subject_ids(table["subject"]), dtype=object)
    try:
        start = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"].get("cwd", ".")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        start = "."                         # paths from here; if they lead nowhere, that is said on reading them
    table["path"] = [path if Path(path).exists() else str(Path(start, path)) for path in table["path"]]
    return table


def _list(data: Path) -> tuple[pd.DataFrame, list[str]]:
    """Rows (path, class, split "test") of class folders, of test/ among train/, val/ and test/, or of a CSV; notes."""
    if data.is_file():
        table = read_path_table(data, ["path", "class", "split"], ["subject"]).astype(object)
        if (table["split"] == "test").any():
            table = table[table["split"] == "test"].reset_index(drop=True)
        table["path"] = [path if Path(path).exists() else str(data.parent / path) for path in table["path"]]
        return table.assign(split="test"), []
    if not data.is_dir():
        raise UserError(f"--data {data} does not exist: it must hold a folder of images for each class")
    inner = [data / split for split in ("train", "val", "test") if (data / split).is_dir()]
    roots = inner[-1:] if (data / "test").is_dir() else inner or [data]
    rows, others = [], []
    for folder in (folder for root in roots for folder in sorted(root.iterdir())):
        hidden = folder.name.startswith(".") or not folder.is_dir()
        images, no_images = ([], [folder]) if hidden else find_image_files(folder)
        rows += [(str(path), folder.name, "test") for path in images]
        others += no_images
    if not rows:
        raise UserError(f"{roots[0]} holds no class folders with images: it must hold one for each class")
    notes = [f"the slices of {data / 'test'}"] if roots[0] == data / "test" else []
    if others:
        notes.append(f"{len(others)} files are no images, or lie outside the class folders; the first: {others[0]}")
    return pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object), notes


def _digests(paths: list[str], preprocessing: dict) -> list[str | None]:
    """Hashes of the slices' pixels as the model sees them, None for blank ones."""
    return _decode(paths, preprocessing).digests_of_content(np.prod(preprocessing["image_size"]))


def _decode(paths: list[str], preprocessing: dict) -> Decoded:
    decoded = decode(paths, from_description(preprocessing), preprocessing["channels"], keep=True)
    if decoded.errors:
        first = next(iter(decoded.errors.values()))
        raise UserError(f"{len(decoded.errors)} of {len(paths)} slices cannot be read: repair or remove them; the "
                        f"first: {first}")
    return decoded
