"""Nearest neighbours among the slices of a set, with brains aligned to their axes, mirrored where that is more similar.

Each image is stored as its even and odd half under mirroring: x·y = even·even' + odd·odd', and with y mirrored
even·even' - odd·odd', so the larger of the two is even·even' + |odd·odd'|. All pairs are compared, block by block. With
more than MANY slices, each half is projected to COMPONENTS principal components (PCA, uncentred) of a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_setup.similarity.alignment import align, find_axes, normalise_rows, upright
from data_setup.similarity.workers import parallel_map

SIZE = (52, 44)
MANY, COMPONENTS, SAMPLE = 20_000, 160, 8_000
NEAR = 60                     # neighbours per slice
BLOCK_BYTES = 2**27           # similarities per block
CHUNK = 512                   # images aligned at once


@dataclass(frozen=True)
class Neighbours:
    """Halves of n images of norm 1, (n, d) each, and the nearest slices of each, nearest first, (n, k)."""

    even: np.ndarray
    odd: np.ndarray
    indices: np.ndarray
    mirrored: np.ndarray          # whether the mirrored image is more similar


def find_neighbours(images: Sequence[np.ndarray]) -> Neighbours:
    """The NEAR nearest of each gray image (H, W), or all others in a small set. An image without a brain is all zeros.
    """
    even, odd = _halves_of(images)
    indices, _ = nearest(even, odd, min(NEAR, max(len(images) - 1, 0)))
    signs = np.concatenate([_signs(odd, indices, start) for start in range(0, max(len(odd), 1), CHUNK)])
    return Neighbours(even, odd, indices, signs < 0)


def nearest(even: np.ndarray, odd: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices of the `count` nearest of each image (n, count), their similarities), nearest first, itself excluded."""
    n = len(even)
    even, odd = torch.from_numpy(even), torch.from_numpy(odd)
    indices, values = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    block_size = max(1, min(256, BLOCK_BYTES // (4 * max(n, 1))))

    def block(start: int) -> None:
        rows = slice(start, min(start + block_size, n))
        similar = (odd[rows] @ odd.T).abs_().addmm_(even[rows], even.T)
        similar[torch.arange(rows.stop - start), torch.arange(start, rows.stop)] = -torch.inf
        top = similar.topk(count, dim=1)
        indices[rows], values[rows] = top.indices.numpy(), top.values.numpy()

    parallel_map(block, range(0, n, block_size))
    return indices, values


def halves(x: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd half of each image (n, h·w) under mirroring: the mirror image is even - odd."""
    mirrored = x.reshape(len(x), *size)[:, :, ::-1].reshape(x.shape)
    half = np.arange(size[0] * size[1]).reshape(size)[:, :(size[1] + 1) // 2].ravel()
    return ((x + mirrored)[:, half] / np.sqrt(2)).astype(np.float32), ((x - mirrored)[:, half] / np.sqrt(2)).astype(
        np.float32)


def _halves_of(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of every image, projected to COMPONENTS dimensions for more than MANY images."""
    n = len(images)
    if n <= MANY:
        return halves(align(images, SIZE), SIZE)
    axes = find_axes(images)

    def halves_of_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = upright([images[row] for row in rows], axes.select(rows), SIZE, axes.has_main_axis).reshape(len(rows), -1)
        return halves(normalise_rows(x), SIZE)

    main = [_principal_axes(half) for half in halves_of_rows(np.linspace(0, n - 1, SAMPLE).astype(int))]
    found = [np.empty((n, COMPONENTS), np.float32) for _ in main]

    def chunk(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, n))
        for kept, half, directions in zip(found, halves_of_rows(rows), main, strict=True):
            kept[rows] = half @ directions

    parallel_map(chunk, range(0, n, CHUNK))
    return found[0], found[1]


def _principal_axes(half: np.ndarray) -> np.ndarray:
    """(n, d) → (d, COMPONENTS): the directions of largest second moment."""
    return np.linalg.eigh(half.T @ half)[1][:, :-COMPONENTS - 1:-1].copy()


def _signs(odd: np.ndarray, indices: np.ndarray, start: int) -> np.ndarray:
    """Sign of odd·odd' for some slices and their neighbours: negative where the mirrored image is more similar."""
    rows = range(start, min(start + CHUNK, len(odd)))
    return np.stack([odd[indices[row]] @ odd[row] for row in rows]) if rows else np.zeros(indices.shape, np.float32)
