"""From class folders to the three batch streams of a run: train, validation and test."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from data_setup.clinical.slices import Assign, assign_with_table, list_patients
from data_setup.clinical.table import ClinicalTable, read_clinical_table
from data_setup.images.read import read_gray, read_image
from data_setup.images.resize import Frame, from_description
from data_setup.listing.moved_data import WrittenSplit
from data_setup.loading.batches import Batches
from data_setup.loading.dataset import (
    SliceDataset,
    bytes_needed,
    check_unreadable,
    decode,
    fits_in_memory,
)
from data_setup.loading.mixing import make_mixing
from data_setup.loading.transforms import describe_preprocessing, make_transforms
from data_setup.splits.split import MODES, apply_split, count_table, split_hash
from data_setup.splits.warnings import UNKNOWN
from data_setup.subjects.find import find_subjects, subjects_and_notes
from data_setup.subjects.from_pixels import subjects_from_pixels
from data_setup.subjects.proposed_patterns import CHECKED, subject_advice
from data_setup.volumes.preparation import recorded_preparation
from functions.runtime.errors import UserError


@dataclass(frozen=True)
class Data:
    """The three batch streams of a run, the split behind them, and its notes and caveats."""

    train: Batches
    val: Batches
    test: Batches
    class_names: list[str]
    table: pd.DataFrame                # path, class, subject, split; one row a slice
    preprocessing: dict
    fingerprint: str                   # hash of every slice's folder, name and pixels
    notes: list[str]                   # printed at the start of the run
    caveats: list[str]                  # LEAKY SPLIT, PATIENTS UNKNOWN: shown with every result
    left_out: list[str] = field(default_factory=list)     # files that were not used, each with its reason
    folders: list[str] = field(default_factory=list)      # absolute paths of the folders of class folders

    @property
    def largest_class(self) -> str:
        """The class with most training slices: the constant prediction of the majority baseline."""
        return self.class_names[int(torch.bincount(self.train.dataset.labels).argmax())]

    @property
    def counts(self) -> pd.DataFrame:
        """Known patients and slices of every class in every split."""
        return count_table(self.table)

    @property
    def split_hash(self) -> str:
        """SHA-256 of the split: equal for the same slices in the same splits."""
        return split_hash(self.table)

    @property
    def seen(self) -> dict[str, list[str]]:
        """What training and model selection used: subject ids, hashes of the pixels at the model's size, the data's
        folders.

        Ids that are not an archive's identify patients only in the data set of these folders
        (data_setup/splits/seen_in_training.py).
        """
        sides = (self.train.dataset, self.val.dataset)
        return {"folders": self.folders,
                "subjects": sorted({subject for side in sides for subject in side.subjects if subject is not None}),
                "digests": sorted({digest for side in sides for digest in side.digests})}

    def class_weights(self, power: float) -> Tensor:
        """w_k ∝ n_k^-power over the n_k training slices of class k, mean 1 over all slices; 0 for a class without
        slices.

        power 1 gives all classes the same total weight (one patient of a rare class then counts as much as a hundred of
        a common one); ½ is a compromise.
        """
        return class_weights(self.train.dataset.labels, len(self.class_names), power)


def class_weights(labels: Tensor, num_classes: int, power: float) -> Tensor:
    """`Data.class_weights` of training slices with these labels (n,): (num_classes,)."""
    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = torch.where(counts > 0, counts.clamp(min=1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()


def create_dataloaders(
    train_dir: str | Path,
    test_dir: str | Path | None,
    batch_size: int,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int,
    device: torch.device,
    preprocessing: dict | None = None,
    val_dir: str | Path | None = None,
    split: str | Path | WrittenSplit = "auto",
    subjects: str | Path | None = None,
    subject_pattern: str | None = None,
    table: str | Path | None = None,
    seed: int = 0,
    augment: bool = True,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    num_workers: int = 0,
    keep_in_memory: bool | None = None,
) -> Data:
    """Reads class folders, splits them by patient, and makes shuffled training and ordered validation and test batches.

    `image_size` is (height, width): slices are scaled to fit it, and mean and std are computed from the training slices
    only. Pretrained weights come with their own `preprocessing` instead (image_size, fit, mean, std, …). Without
    `test_dir` or `val_dir` these are held out from train by patient; `split` is auto, folder, patient, slice or a CSV
    (data_setup/splits/split.py). A clinical `table` (data_setup/clinical/) gives patients, ages and sexes, by which new
    splits are balanced, and the classes of folders without class folders. Slices are kept in memory as uint8 if they
    fit (`keep_in_memory` None), and are read by `num_workers` processes otherwise. `mixup` and `cutmix` are parameters
    of mixing.py; above 0, the labels of training batches are soft targets (B, K). Raises UserError, one line, for data
    that cannot be used.
    """
    if preprocessing is None and image_size is None:
        raise UserError("image_size, (height, width), is needed where no preprocessing of pretrained weights is given")
    frame = from_description(preprocessing) if preprocessing else Frame(image_size)
    folders = {"train": train_dir, "val": val_dir, "test": test_dir}
    clinical = None if table is None else read_clinical_table(Path(table))
    listing = list_patients(
        {name: Path(folder) for name, folder in folders.items() if folder is not None},
        assigned_by(clinical, subjects, subject_pattern, str(split) not in MODES), clinical)
    slices = listing.table
    num_bytes = bytes_needed(len(slices), frame.size, channels)
    keep = fits_in_memory(num_bytes) if keep_in_memory is None else keep_in_memory
    decoded = decode(slices["path"].tolist(), frame, channels, keep)
    check_unreadable(slices, decoded.errors)
    digests = pd.Series(decoded.digests_of_content(frame.size[0] * frame.size[1]), dtype=object)
    readable = slices.assign(digest=digests).drop(index=list(decoded.errors))
    applied = apply_split(readable, split, seed)
    final = applied.table.set_index(readable.index)                # rows stay in the order of `decoded`
    rows = {name: final.index[final["split"] == name].to_numpy() for name in ("train", "val", "test")}
    for name in ("val", "test"):
        if len(rows[name]) == 0:
            raise UserError(f"no {name} slices: {train_dir} has too few patients to hold some out for {name}: "
                            "a class with at least two patients there is needed")
    mean, std = decoded.mean_and_std(rows["train"], frame.size[0] * frame.size[1])
    if preprocessing:
        mean, std = preprocessing["mean"], preprocessing["std"]
    class_names = sorted(final["class"].unique())

    def batches(name: str, transform: nn.Module) -> Batches:
        dataset = SliceDataset(final.loc[rows[name]], class_names, frame, channels, images, decoded.digests,
                               decoded.checksums)
        return Batches(dataset, batch_size, name == "train", transform, device, from_disk=not keep,
                       num_workers=num_workers,
                       mixing=make_mixing(mixup, cutmix, len(class_names)) if name == "train" else None)

    on_gpu = keep and device.type == "cuda" and num_bytes <= torch.cuda.mem_get_info(device)[0] / 4
    images = decoded.images.to(device) if on_gpu else decoded.images
    training, evaluation = make_transforms(mean, std, augment)
    left_out = [*decoded.errors.values(), *listing.left_out]
    where = f"in {'GPU ' * on_gpu}memory ({num_bytes / 1e6:,.0f} MB)" if keep else (
        f"on disk ({num_bytes / 1e6:,.0f} MB would not fit in half of the free memory), read by {num_workers} workers")
    notes = [f"{len(final):,} slices as {frame.size[0]}x{frame.size[1]}x{channels} uint8 {where}", *listing.notes,
             *(f"CHECK: {fault}" for fault in listing.faults), *applied.notes,
             *(f"CHECK: {warning}" for warning in listing.warnings)]
    if frame.mode == "crop":
        shape = read_image(final["path"].iloc[0], 1).shape[:2]
        down, across = frame.kept(shape)
        notes.append(f"the crop of the pretrained weights shows the middle {down:.0%} of the height and {across:.0%} "
                     f"of the width of a slice of {shape[0]}x{shape[1]}")
    if UNKNOWN in applied.caveats:
        pixels = decoded.images[final.index[:CHECKED].tolist()] if keep else None
        notes.append(subject_advice(final["path"].tolist(), final["class"].tolist(), pixels,
                                    auto=str(subjects) != "auto"))
    if left_out:
        notes.append(f"{len(left_out)} files or folders left out, listed at the end")
    return Data(
        batches("train", training), batches("val", evaluation), batches("test", evaluation), class_names,
        final.reset_index(drop=True),
        describe_preprocessing(frame, channels, mean, std) | recorded_preparation(Path(train_dir)),
        _fingerprint(slices, decoded.digests), notes, list(applied.caveats), left_out,
        sorted({os.path.realpath(folder) for folder in folders.values() if folder is not None}),
    )


def assigned_by(clinical: ClinicalTable | None, subjects: str | Path | None, pattern: str | None,
                split_given: bool) -> Assign:
    """What gives the patients of paths: `subjects` and `pattern`, else the clinical table, else names or pixels."""
    return assign_with_table(clinical, subjects is not None or pattern is not None,
                             lambda paths: assign_subjects(paths, subjects, pattern, split_given))


def assign_subjects(paths: list[str], subjects: str | Path | None, pattern: str | None,
                    split_given: bool) -> tuple[list[str | None], list[str]]:
    """(one id per path or None, notes); `subjects` "auto": from the file names if all have an id, else from the pixels.

    With a given split file, which contains the subjects, pixels are not compared.
    """
    if subjects != "auto":               # a file may be called so: Path("auto")
        return subjects_and_notes(paths, subjects, pattern)
    known = find_subjects(paths)
    if all(known) or split_given:
        return known, []
    ids, verdict = subjects_from_pixels(paths, read_gray)
    return ids, [f"patients from the pixels alone: {verdict}"]


def _fingerprint(table: pd.DataFrame, digests: list[str]) -> str:
    names = ["/".join(Path(path).parts[-2:]) for path in table["path"]]
    lines = sorted(f"{name} {digest}" for name, digest in zip(names, digests, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
