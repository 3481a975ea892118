"""Which slices of a set resemble each other most: brains on their own axes, mirrored where that fits better.

Of each picture its halves under mirroring, even and odd, are kept: x·y = even·even' + odd·odd', and with y mirrored
even·even' - odd·odd', so that the better of the two is even·even' + |odd·odd'|. All pairs are compared, blockwise. Of
more than MANY slices each half is first turned to the main axes (PCA, uncentred) of a sample of them and cut to
COMPONENTS numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_setup.similarity.alignment import align, find_axes, unit, upright
from data_setup.similarity.workers import spread

SIZE = (52, 44)
MANY, COMPONENTS, SAMPLE = 20_000, 160, 8_000
NEAR = 60                     # kept of each slice
BLOCK_BYTES = 2**27           # of similarities at once
CHUNK = 512                   # pictures aligned at once


@dataclass(frozen=True)
class Neighbours:
    """Halves of n pictures of norm 1, (n, d) each, and of each slice the most alike, best first, (n, k)."""

    even: np.ndarray
    odd: np.ndarray
    places: np.ndarray
    mirrored: np.ndarray          # whether it is alike mirrored


def find_neighbours(images: Sequence[np.ndarray]) -> Neighbours:
    """Of each gray picture (H, W) its NEAR nearest, of a small set all others. One without a brain is all zeros."""
    even, odd = _halves_of(images)
    places, _ = nearest(even, odd, min(NEAR, max(len(images) - 1, 0)))
    signs = np.concatenate([_signs(odd, places, start) for start in range(0, max(len(odd), 1), CHUNK)])
    return Neighbours(even, odd, places, signs < 0)


def nearest(even: np.ndarray, odd: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(the `count` most alike of each picture (n, count), their similarities), best first, itself left out."""
    n = len(even)
    even, odd = torch.from_numpy(even), torch.from_numpy(odd)
    places, values = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    many = max(1, min(256, BLOCK_BYTES // (4 * max(n, 1))))

    def block(start: int) -> None:
        rows = slice(start, min(start + many, n))
        similar = (odd[rows] @ odd.T).abs_().addmm_(even[rows], even.T)
        similar[torch.arange(rows.stop - start), torch.arange(start, rows.stop)] = -torch.inf
        top = similar.topk(count, dim=1)
        places[rows], values[rows] = top.indices.numpy(), top.values.numpy()

    spread(block, range(0, n, many))
    return places, values


def halves(x: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd half of each picture (n, h·w) under mirroring: the mirror image is even - odd."""
    mirrored = x.reshape(len(x), *size)[:, :, ::-1].reshape(x.shape)
    half = np.arange(size[0] * size[1]).reshape(size)[:, :(size[1] + 1) // 2].ravel()
    return ((x + mirrored)[:, half] / np.sqrt(2)).astype(np.float32), ((x - mirrored)[:, half] / np.sqrt(2)).astype(
        np.float32)


def _halves_of(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of every picture, cut to COMPONENTS numbers of more than MANY pictures."""
    n = len(images)
    if n <= MANY:
        return halves(align(images, SIZE), SIZE)
    axes = find_axes(images)

    def some(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = upright([images[row] for row in rows], axes.of(rows), SIZE, axes.turned).reshape(len(rows), -1)
        return halves(unit(x), SIZE)

    main = [_main_axes(half) for half in some(np.linspace(0, n - 1, SAMPLE).astype(int))]
    found = [np.empty((n, COMPONENTS), np.float32) for _ in main]

    def chunk(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, n))
        for kept, half, directions in zip(found, some(rows), main, strict=True):
            kept[rows] = half @ directions

    spread(chunk, range(0, n, CHUNK))
    return found[0], found[1]


def _main_axes(half: np.ndarray) -> np.ndarray:
    """(n, d) → (d, COMPONENTS): the directions that hold most of it."""
    return np.linalg.eigh(half.T @ half)[1][:, :-COMPONENTS - 1:-1].copy()


def _signs(odd: np.ndarray, places: np.ndarray, start: int) -> np.ndarray:
    """Sign of odd·odd' for some slices and their nearest: negative where mirrored fits better."""
    rows = range(start, min(start + CHUNK, len(odd)))
    return np.stack([odd[places[row]] @ odd[row] for row in rows]) if rows else np.zeros(places.shape, np.float32)
