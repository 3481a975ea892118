"""Copies of slices: equal pixels, or a rotated, shifted, scaled, mirrored, re-lit or compressed copy.

1. Of each slice's CANDIDATES nearest neighbours, the KEPT with the smallest tangent distance (small shift, rotation,
   scaling; gain and offset) are candidates.
2. Each pair is registered (registration.py), coarsely, then finely, and compared in a band of middle frequencies
   (difference of Gaussians), patch by patch. The residual is 1 - r of the patch at the worst quarter.
3. A copy shares its original's noise and folds everywhere, up to interpolation and compression; the next slice of the
   same scan differs somewhere in anatomy. A pair is a copy if its residual is below CERTAIN; or below COPY and below a
   fifth (RATIO) of the residual of any other candidate pair of either slice, so that dense stacks, whose neighbours are
   nearly equal, provide the null distribution.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from data_setup.similarity.alignment import Axes, find_axes, upright
from data_setup.similarity.neighbours import CHUNK, Neighbours, find_neighbours
from data_setup.similarity.registration import (
    blur,
    correlation,
    patch_correlation,
    pseudo_inverse,
    register,
    tangent_distance,
    tangents,
    warp,
)
from data_setup.similarity.workers import parallel_map

CANDIDATES, KEPT = 24, 3
COARSE, FINE = (52, 44), (104, 88)
SOFT, SHARP, BAND = 2.0, 1.0, (1.0, 2.0)      # sigmas in output pixels: tangents, registration, band-pass
MIN_CORRELATION = 0.93                              # correlation at coarse resolution, below which a pair is no copy
COPY, CERTAIN, RATIO = 0.012, 0.006, 0.2
CHUNK_PAIRS = 64                                   # registered at once


class Copy(NamedTuple):
    """Two copies of one slice: rows of the list, kind (exact, near), residual after registration (1 - r)."""

    first: int
    second: int
    kind: str
    distance: float


def digest_of(image: np.ndarray) -> str:
    """A hash of an image's pixels and shape."""
    return hashlib.blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=16).hexdigest()


def find_copies(images: Sequence[np.ndarray], digests: Sequence[str] | None = None,
                neighbours: Neighbours | None = None, queries: np.ndarray | None = None) -> list[Copy]:
    """Pairs of gray images (H, W) that show the same slice; an image is paired with the first of its equals.

    `digests` are those of the full images, where `images` are reduced; `neighbours` is the result of `find_neighbours`.
    `queries` (n,) bool: altered copies are searched only for these images.
    """
    first, copies = {}, []
    for i, digest in enumerate(digests or map(digest_of, images)):
        if digest in first:
            copies.append(Copy(first[digest], i, "exact", 0.0))
        else:
            first[digest] = i
    axes = find_axes(images)
    single = np.zeros(len(images), bool)
    single[list(first.values())] = True
    single &= axes.area > 0
    if single.sum() < 2:
        return copies
    rows = np.flatnonzero(single if queries is None else single & queries)
    pairs, mirrored = _candidate_pairs(images, axes, single, neighbours or find_neighbours(images), rows)
    chunks = [slice(start, start + CHUNK_PAIRS) for start in range(0, len(pairs), CHUNK_PAIRS)]
    parts = parallel_map(lambda chunk: _residuals(images, axes, pairs[chunk], mirrored[chunk]), chunks)
    residuals = np.concatenate([*parts, np.zeros(0)])
    return copies + [Copy(int(pairs[k, 0]), int(pairs[k, 1]), "near", float(residuals[k]))
                     for k in _select_copies(pairs, residuals)]


def _candidate_pairs(images: Sequence[np.ndarray], axes: Axes, single: np.ndarray, neighbours: Neighbours,
               queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pairs (m, 2), first row below the second, whether mirrored (m,)): KEPT candidates of each row of `queries`."""
    n = len(images)
    soft = torch.empty(n, COARSE[0] // 2, COARSE[1] // 2)                # blurred: every other pixel suffices

    def soften(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, n))
        soft[start:start + CHUNK] = blur(_upright(images, axes, rows, COARSE), SOFT)[:, ::2, ::2]

    parallel_map(soften, range(0, n, CHUNK))
    indices, mirrored = neighbours.indices[:, :CANDIDATES], neighbours.mirrored[:, :CANDIDATES]
    kept, found = min(KEPT, indices.shape[1]), {}

    def choose(start: int) -> None:
        rows = queries[start:start + 64]
        basis = tangents(soft[rows])
        others = soft[indices[rows]]
        others = torch.where(torch.from_numpy(mirrored[rows])[:, :, None, None], others.flip(3), others)
        residuals = tangent_distance(basis, pseudo_inverse(basis), others.flatten(2))
        residuals[torch.from_numpy(~single[indices[rows]])] = torch.inf
        best = residuals.topk(kept, dim=1, largest=False)
        for i, ks, values in zip(rows.tolist(), best.indices.tolist(), best.values.tolist(), strict=True):
            for k, value in zip(ks, values, strict=True):
                j = int(indices[i, k])
                if value < torch.inf:
                    found[min(i, j), max(i, j)] = bool(mirrored[i, k])

    parallel_map(choose, range(0, len(queries), 64))
    pairs = sorted(found)
    return np.array(pairs, int).reshape(-1, 2), np.array([found[pair] for pair in pairs], bool)


def _upright(images: Sequence[np.ndarray], axes: Axes, rows: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(upright([images[row] for row in rows], axes.select(rows), size, axes.has_main_axis))


def _residuals(images: Sequence[np.ndarray], axes: Axes, pairs: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """The residual of each pair (m,) after registration; 1 where the coarse correlation is too low."""
    residuals = np.ones(len(pairs), np.float32)
    still, moving = _image_pairs(images, axes, pairs, mirrored, COARSE)
    motions = torch.zeros(len(pairs), 4)
    motions = register(pseudo_inverse(tangents(blur(still, SHARP))), blur(moving, SHARP), motions, steps=5)
    likely = (correlation(_bandpass(still), warp(_bandpass(moving), motions)) > MIN_CORRELATION).numpy()
    if not likely.any():
        return residuals
    still, moving = _image_pairs(images, axes, pairs[likely], mirrored[likely], FINE)
    motions = motions[likely] * torch.tensor([FINE[0] / COARSE[0], FINE[1] / COARSE[1], 1.0, 1.0])
    swap = _sharpness(still) > _sharpness(moving)                              # warp the sharper image: warping blurs
    still, moving = (torch.where(swap[:, None, None], a, b) for a, b in ((moving, still), (still, moving)))
    motions = torch.where(swap[:, None], -motions, motions)
    motions = register(pseudo_inverse(tangents(blur(still, SHARP))), blur(moving, SHARP), motions, steps=3)
    dark, light = still.flatten(1).quantile(0.05, dim=1), still.flatten(1).amax(dim=1)
    inside = still > (dark + 0.15 * (light - dark))[:, None, None]
    residuals[likely] = 1 - patch_correlation(_bandpass(still), warp(_bandpass(moving), motions), inside).numpy()
    return residuals


def _sharpness(x: torch.Tensor) -> torch.Tensor:
    """Share of the finest detail, (b,)."""
    return (x - blur(x, SHARP)).flatten(1).norm(dim=1) / x.flatten(1).std(dim=1).clamp_min(1e-6)


def _image_pairs(images: Sequence[np.ndarray], axes: Axes, pairs: np.ndarray, mirrored: np.ndarray,
         size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    rows, where = np.unique(pairs, return_inverse=True)
    upright_images, where = _upright(images, axes, rows, size), where.reshape(pairs.shape)
    second = upright_images[where[:, 1]]
    return upright_images[where[:, 0]], torch.where(torch.from_numpy(mirrored)[:, None, None], second.flip(2), second)


def _bandpass(x: torch.Tensor) -> torch.Tensor:
    return blur(x, BAND[0]) - blur(x, BAND[1])


def _select_copies(pairs: np.ndarray, residuals: np.ndarray) -> list[int]:
    """Which pairs are copies, by their residuals and those of other pairs of the same slices."""
    pairs_of = defaultdict(list)
    for k, pair in enumerate(pairs.tolist()):
        for row in pair:
            pairs_of[row].append(k)
    selected = []
    for k, pair in enumerate(pairs.tolist()):
        others = [residuals[other] for row in pair for other in pairs_of[row] if other != k]
        if residuals[k] < CERTAIN or residuals[k] < min(COPY, RATIO * min(others, default=1.0)):
            selected.append(k)
    return selected
