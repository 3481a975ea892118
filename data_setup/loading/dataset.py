"""Listed slices → samples, each decoded once and kept in memory as uint8 where they fit."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from data_setup.images.read import read_image
from data_setup.images.resize import Frame
from data_setup.resources import available_cores, available_memory
from functions.runtime.errors import UserError

UNREADABLE_LIMIT = 0.01    # of a split: more is a broken copy, not a stray file
BLANK = 1.0                # variance, in grey levels², up to which a slice shows nothing: such slices are all alike


@dataclass(frozen=True)
class Decoded:
    """Every slice read once. `images` (n, C, H, W) uint8, or None where they do not fit in memory."""

    images: Tensor | None
    sums: np.ndarray                 # (n, C) of pixel values
    squares: np.ndarray              # (n, C) of their squares
    digests: list[str]               # of the pixels at the model's size
    checksums: np.ndarray            # (n,) of the files, where their pixels are not kept
    errors: dict[int, str]           # row → why it could not be read

    def mean_and_std(self, rows: np.ndarray, num_pixels: int) -> tuple[list[float], list[float]]:
        """Each channel's mean and standard deviation over the slices `rows`, in 0..1."""
        n = len(rows) * num_pixels
        mean = self.sums[rows].sum(axis=0) / n
        variance = np.maximum(self.squares[rows].sum(axis=0) / n - mean**2, 0)
        std = np.sqrt(variance)
        if not (std > 0).all():
            raise UserError("every training slice is one flat colour: there is nothing to learn from these images")
        return (mean / 255).tolist(), (std / 255).tolist()

    def digests_of_content(self, num_pixels: int) -> list[str | None]:
        """Each slice's digest, None where it could not be read or is blank, so that equal ones are one slice."""
        variance = (self.squares / num_pixels - (self.sums / num_pixels) ** 2).max(axis=1)
        return [digest if digest and var > BLANK else None for digest, var in zip(self.digests, variance, strict=True)]


def bytes_needed(num_slices: int, size: tuple[int, int], channels: int) -> int:
    """Memory that slices of `size` take as uint8: n·C·H·W bytes."""
    return num_slices * channels * size[0] * size[1]


def fits_in_memory(num_bytes: int) -> bool:
    """Whether half the memory that is left to us would hold them, once for each process that torchrun starts here."""
    return num_bytes * int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= available_memory() / 2


def read_slice(path: str | Path, frame: Frame, channels: int) -> np.ndarray:
    """One file as the model sees it: (C, H, W) uint8 in its frame. ValueError if it cannot be read."""
    return frame(read_image(path, channels)).transpose(2, 0, 1)


def decode(paths: Sequence[str], frame: Frame, channels: int, keep: bool) -> Decoded:
    """Reads every slice once, on all cores; keeps the pixels if `keep`, else a checksum of each file."""
    n = len(paths)
    images = torch.zeros((n, channels, *frame.size), dtype=torch.uint8) if keep else None
    sums, squares = np.zeros((n, channels)), np.zeros((n, channels))
    digests, checksums, errors = [""] * n, np.zeros(n, dtype=np.uint32), {}

    def one(row: int) -> None:
        try:
            pixels = read_slice(paths[row], frame, channels)
        except UserError as error:
            errors[row] = str(error)
            return
        wide = pixels.astype(np.int64)
        sums[row], squares[row] = wide.sum(axis=(1, 2)), (wide**2).sum(axis=(1, 2))
        digests[row] = hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()
        if images is not None:
            images[row] = torch.from_numpy(np.ascontiguousarray(pixels))
        else:
            checksums[row] = file_checksum(paths[row])

    pool = ThreadPoolExecutor(available_cores())
    try:
        for _ in tqdm(pool.map(one, range(n)), total=n, desc="reading slices", leave=False, disable=None):
            pass
    finally:
        pool.shutdown(cancel_futures=True)      # Ctrl-C does not wait for the files still in line
    return Decoded(images, sums, squares, digests, checksums, dict(sorted(errors.items())))


def file_checksum(path: str | Path) -> int:
    """CRC-32 of a file's bytes: tells a file that changed by accident, for 4 % or less of the time to decode it."""
    return zlib.crc32(Path(path).read_bytes())


def check_unreadable(table: pd.DataFrame, errors: dict[int, str]) -> None:
    """ValueError if more than 1 % of a split's files, or a class's every file in a split, could not be read."""
    bad = np.zeros(len(table), dtype=bool)
    bad[list(errors)] = True
    for split, rows in table.groupby("split").indices.items():
        if (count := bad[rows].sum()) > UNREADABLE_LIMIT * len(rows):
            first = errors[rows[bad[rows]][0]]
            raise UserError(f"{count} of {len(rows)} {split} files cannot be read (limit {UNREADABLE_LIMIT:.0%}): "
                            f"repair or remove them; the first: {first}")
    for (split, name), rows in table.groupby(["split", "class"]).indices.items():
        if bad[rows].all():
            raise UserError(f"none of the {len(rows)} {split} files of class {name} can be read; "
                            f"the first: {errors[rows[0]]}")


class SliceDataset(Dataset):
    """Slices of one split: item i is (pixels (C, H, W) uint8, class number). Batches are cut from memory at once.

    `table` holds the split's rows, its index their places in `images` (all splits' slices, or None: read from disk),
    in `digests` of the pixels and in `checksums` of the files. A file that vanished or changed since it was first read
    is a ValueError that names it: another picture in its place would be another data set, and nobody would know.
    """

    def __init__(self, table: pd.DataFrame, class_names: list[str], frame: Frame, channels: int,
                 images: Tensor | None, digests: Sequence[str] = (), checksums: Sequence[int] = ()):
        where = "cpu" if images is None else images.device
        self.rows = torch.tensor(table.index.to_numpy().copy(), device=where)
        self.paths = table["path"].tolist()
        self.subjects = table["subject"].tolist()
        self.labels = torch.tensor([class_names.index(name) for name in table["class"]], device=where)
        self.frame, self.channels, self.images = frame, channels, images
        self.digests = [digests[row] for row in table.index] if digests else []
        self.checksums = [checksums[row] for row in table.index] if len(checksums) else []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.images is not None:
            return self.images[self.rows[index]], self.labels[index]
        return torch.from_numpy(self._read_again(index).copy()), self.labels[index]

    def _read_again(self, index: int) -> np.ndarray:
        path, advice = self.paths[index], "put the old one back, then go on with --resume"
        try:
            pixels = read_slice(path, self.frame, self.channels)
            same = not self.checksums or file_checksum(path) == self.checksums[index]    # after decoding: no gap
        except (UserError, OSError) as error:
            raise UserError(f"{error} (it could be read when the run began): {advice}") from None
        if not same:
            raise UserError(f"{path} has changed since the run began: {advice}")
        return pixels

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch (B, C, H, W), (B,): what a DataLoader asks for when this method exists."""
        if self.images is None:
            pixels, labels = zip(*map(self.__getitem__, indices), strict=True)
            return torch.stack(pixels), torch.stack(labels)
        return self.images[self.rows[indices]], self.labels[indices]
