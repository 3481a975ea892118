"""Generated brains on disk, in blocks that are drawn once."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_setup.phantom.stripped import draw_brains
from functions.runtime.atomic_files import write_atomically
from functions.runtime.progress import Progress

BLOCK = 500              # people in a file
TRAIN_SLICES = 4         # of each person, at random levels
READOUT_SLICES = 8       # of each person drawn by stage, evenly spaced


class Brains(NamedTuple):
    """Images uint8 (people, slices, H, W), quantities (people, slices, 8), stages (people,)."""

    images: np.ndarray
    quantities: np.ndarray
    stages: np.ndarray

    @property
    def slices(self) -> Tensor:
        """All images, uint8 (people · slices, 1, H, W)."""
        return torch.from_numpy(self.images).flatten(0, 1)[:, None]

    @property
    def wanted(self) -> Tensor:
        """The quantities of `slices`, (people · slices, 8)."""
        return torch.from_numpy(self.quantities).flatten(0, 1)


def generated(kind: str, people: int, seed: int, folder: Path, by_stage: bool = False) -> Brains:
    """The first `people` people of a seed: `draw_brains`, read from FOLDER where they are already there."""
    slices = READOUT_SLICES if by_stage else TRAIN_SLICES
    folder.mkdir(parents=True, exist_ok=True)
    progress, blocks = Progress(f"brains, {kind}", people, unit="patient"), []
    for first in range(0, people, BLOCK):
        count = min(BLOCK, people - first)
        file = folder / f"{kind}-{'stages' if by_stage else 'uniform'}-{seed}-{first}-{count}.npz"
        if not file.exists():
            block = draw_brains(kind, range(first, first + count), slices, seed, by_stage)
            write_atomically(file, lambda out, block=block: np.savez_compressed(out, **Brains(*block)._asdict()))
        with np.load(file, allow_pickle=False) as saved:
            blocks.append([saved[name] for name in Brains._fields])
        progress.update(count)
    progress.close()
    return Brains(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
