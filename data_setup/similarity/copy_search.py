"""Search of single images for copies of a fixed set of images, such as a model's training slices.

The descriptors of the set are computed once. Each image is compared with its CANDIDATES nearest images of the set, by
the search of the audit (copies.py); images of one call are not compared with each other.
"""

from collections.abc import Sequence

import numpy as np
import torch

from data_setup.similarity.alignment import Axes, find_axes, normalise_rows, upright
from data_setup.similarity.copies import CANDIDATES, find_copies
from data_setup.similarity.neighbours import SIZE, Neighbours, halves


class CopySearch:
    """Gray images (H, W) of any sizes, the references, among which copies are searched."""

    def __init__(self, references: Sequence[np.ndarray]):
        self.references = references
        axes = find_axes(references)
        self.rotate = axes.has_main_axis
        self.even, self.odd = (torch.from_numpy(half) for half in self._halves(references, axes))

    def _halves(self, images: Sequence[np.ndarray], axes: Axes) -> tuple[np.ndarray, np.ndarray]:
        aligned = upright(images, axes, SIZE, self.rotate).reshape(len(images), SIZE[0] * SIZE[1])
        return halves(normalise_rows(aligned), SIZE)

    def find(self, images: Sequence[np.ndarray]) -> list[int | None]:
        """For each image, the row of the reference that it is a copy of; None without one."""
        rows: list[int | None] = [None] * len(images)
        if not images or not self.references:
            return rows
        even, odd = map(torch.from_numpy, self._halves(images, find_axes(images)))
        sides = odd @ self.odd.T                                # negative: more similar to the mirrored reference
        nearest = (even @ self.even.T + sides.abs()).topk(min(CANDIDATES, len(self.references)), dim=1).indices
        mirrored = (sides.gather(1, nearest) < 0).numpy()
        needed, places = np.unique(nearest.numpy(), return_inverse=True)
        first = len(needed)
        both = [*(self.references[row] for row in needed), *images]
        neighbours = Neighbours(np.zeros((0, 0)), np.zeros((0, 0)),
                                _below(places.reshape(nearest.shape), first), _below(mirrored, first))
        names = [str(row) for row in range(len(both))]          # equal images are searched like all others
        best: dict[int, float] = {}
        for copy in find_copies(both, names, neighbours, np.arange(len(both)) >= first):
            row = copy.second - first
            if copy.first < first <= copy.second and copy.distance < best.get(row, np.inf):
                best[row], rows[row] = copy.distance, int(needed[copy.first])
        return rows


def _below(values: np.ndarray, count: int) -> np.ndarray:
    """`values` (n, k) below `count` rows of zeros, which stand for the references: these are not searched."""
    return np.concatenate([np.zeros((count, values.shape[1]), values.dtype), values])
