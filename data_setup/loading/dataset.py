"""Listed slices → samples, each decoded once and kept in memory as uint8 if they fit."""

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

UNREADABLE_LIMIT = 0.01    # share of a split; more suggests a damaged copy
BLANK = 1.0                # variance, in grey levels², up to which a slice counts as blank


@dataclass(frozen=True)
class Decoded:
    """All slices, read once. `images` (n, C, H, W) uint8, or None where they do not fit in memory."""

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
            raise UserError("every training slice is of one colour: there is nothing to learn from these images")
        return (mean / 255).tolist(), (std / 255).tolist()

    def digests_of_content(self, num_pixels: int) -> list[str | None]:
        """Each slice's digest; None where it could not be read or is blank, so that equal digests mean the same slice.
        """
        variance = (self.squares / num_pixels - (self.sums / num_pixels) ** 2).max(axis=1)
        return [digest if digest and var > BLANK else None for digest, var in zip(self.digests, variance, strict=True)]


def bytes_needed(num_slices: int, size: tuple[int, int], channels: int) -> int:
    """Memory of slices of `size` as uint8: n·C·H·W bytes."""
    return num_slices * channels * size[0] * size[1]


def fits_in_memory(num_bytes: int) -> bool:
    """Whether they fit in half of the available memory, once per process that torchrun starts on this machine."""
    return num_bytes * int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= available_memory() / 2


def read_slice(path: str | Path, frame: Frame, channels: int) -> np.ndarray:
    """One file as model input: (C, H, W) uint8, resized. UserError if it cannot be read."""
    return frame(read_image(path, channels)).transpose(2, 0, 1)


def decode(paths: Sequence[str], frame: Frame, channels: int, keep: bool) -> Decoded:
    """Reads every slice once, on all cores; keeps the pixels if `keep`, else a checksum of each file."""
    n = len(paths)
    images = torch.zeros((n, channels, *frame.size), dtype=torch.uint8) if keep else None
    sums, squares = np.zeros((n, channels)), np.zeros((n, channels))
    digests, checksums, errors = [""] * n, np.zeros(n, dtype=np.uint32), {}

    def read_one(row: int) -> None:
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
        for _ in tqdm(pool.map(read_one, range(n)), total=n, desc="reading slices", leave=False, disable=None):
            pass
    finally:
        pool.shutdown(cancel_futures=True)      # Ctrl-C does not wait for queued files
    return Decoded(images, sums, squares, digests, checksums, dict(sorted(errors.items())))


def file_checksum(path: str | Path) -> int:
    """CRC-32 of a file's bytes: detects accidental changes at 4 % or less of the decoding time."""
    return zlib.crc32(Path(path).read_bytes())


def check_unreadable(table: pd.DataFrame, errors: dict[int, str]) -> None:
    """UserError if more than 1 % of a split's files, or all files of a class in a split, could not be read."""
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
    """Slices of one split: item i is (pixels (C, H, W) uint8, class number). Whole batches are indexed at once.

    `table` holds the split's rows; its index gives their positions in `images` (slices of all splits, or None: read
    from disk), in `digests` of the pixels and in `checksums` of the files. A file that is missing or has changed since
    it was first read is a UserError with its path: training would silently continue on another data set.
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
        path, advice = self.paths[index], "restore the file, then continue with --resume"
        try:
            pixels = read_slice(path, self.frame, self.channels)
            unchanged = not self.checksums or file_checksum(path) == self.checksums[index]    # after decoding
        except (UserError, OSError) as error:
            raise UserError(f"{error} (it could be read when the run began): {advice}") from None
        if not unchanged:
            raise UserError(f"{path} has changed since the run began: {advice}")
        return pixels

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """A whole batch (B, C, H, W), (B,): DataLoader calls this method if it exists."""
        if self.images is None:
            pixels, labels = zip(*map(self.__getitem__, indices), strict=True)
            return torch.stack(pixels), torch.stack(labels)
        return self.images[self.rows[indices]], self.labels[indices]
