"""The same slice twice: equal pixels, or a copy that was turned, shifted, scaled, mirrored, re-lit or compressed.

1. Of each slice's CANDIDATES most alike the KEPT are taken that tangents (small shift, turn, scaling; gain and offset)
   explain best.
2. Each pair is laid one on the other (registration.py), coarsely, then finely, and both are compared in their middle
   frequencies (a difference of Gaussians), patch by patch: what is left is 1 - r of the patch at the worst quarter.
3. A copy shares its original's noise and folds everywhere and leaves what interpolation and compression leave; the next
   slice of the same scan leaves anatomy somewhere. A copy is what leaves less than CERTAIN; or less than COPY, and less
   than a fifth (RATIO) of what any other candidate of either slice leaves: stacks so dense that neighbours are nearly
   equal are so their own null.
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
    alike,
    alike_everywhere,
    blur,
    left_over,
    move,
    register,
    solver,
    tangents,
)
from data_setup.similarity.workers import spread

CANDIDATES, KEPT = 24, 3
COARSE, FINE = (52, 44), (104, 88)
SOFT, SHARP, BAND = 2.0, 1.0, (1.0, 2.0)      # blurs, in small pixels: for tangents, for fits; what is compared
PROMISING = 0.93                              # correlation in coarse detail, below which nothing is a copy
COPY, CERTAIN, RATIO = 0.012, 0.006, 0.2
PAIRS = 64                                   # fitted at once


class Copy(NamedTuple):
    """Two slices that are one: rows of the list, how (exact, near), what is left after the fit (1 - r)."""

    first: int
    second: int
    kind: str
    distance: float


def digest_of(image: np.ndarray) -> str:
    """A hash of a picture's pixels and shape."""
    return hashlib.blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=16).hexdigest()


def find_copies(images: Sequence[np.ndarray], digests: Sequence[str] | None = None,
                near: Neighbours | None = None, asked: np.ndarray | None = None) -> list[Copy]:
    """Pairs of gray pictures (H, W) that show the same slice; a picture is paired with the first of its equals.

    `digests` are those of the whole pictures, where `images` are smaller ones; `near` is what `find_neighbours` says.
    `asked` (n,) bool: of altered copies only those are searched that show one of these pictures again.
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
    rows = np.flatnonzero(single if asked is None else single & asked)
    pairs, mirrored = _promising(images, axes, single, near or find_neighbours(images), rows)
    parts = [slice(start, start + PAIRS) for start in range(0, len(pairs), PAIRS)]
    left = np.concatenate([*spread(lambda part: _left(images, axes, pairs[part], mirrored[part]), parts), np.zeros(0)])
    return copies + [Copy(int(pairs[k, 0]), int(pairs[k, 1]), "near", float(left[k])) for k in _named(pairs, left)]


def _promising(images: Sequence[np.ndarray], axes: Axes, single: np.ndarray, near: Neighbours,
               asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pairs (m, 2) with the first row below the second, whether mirrored (m,)): KEPT candidates of each row `asked`.
    """
    n = len(images)
    soft = torch.empty(n, COARSE[0] // 2, COARSE[1] // 2)                # so blurred that every other pixel tells all

    def soften(start: int) -> None:
        rows = np.arange(start, min(start + CHUNK, n))
        soft[start:start + CHUNK] = blur(_upright(images, axes, rows, COARSE), SOFT)[:, ::2, ::2]

    spread(soften, range(0, n, CHUNK))
    places, mirrored = near.places[:, :CANDIDATES], near.mirrored[:, :CANDIDATES]
    kept, found = min(KEPT, places.shape[1]), {}

    def choose(start: int) -> None:
        rows = asked[start:start + 64]
        lines = tangents(soft[rows])
        others = soft[places[rows]]
        others = torch.where(torch.from_numpy(mirrored[rows])[:, :, None, None], others.flip(3), others)
        left = left_over(lines, solver(lines), others.flatten(2))
        left[torch.from_numpy(~single[places[rows]])] = torch.inf
        best = left.topk(kept, dim=1, largest=False)
        for i, ks, values in zip(rows.tolist(), best.indices.tolist(), best.values.tolist(), strict=True):
            for k, value in zip(ks, values, strict=True):
                j = int(places[i, k])
                if value < torch.inf:
                    found[min(i, j), max(i, j)] = bool(mirrored[i, k])

    spread(choose, range(0, len(asked), 64))
    pairs = sorted(found)
    return np.array(pairs, int).reshape(-1, 2), np.array([found[pair] for pair in pairs], bool)


def _upright(images: Sequence[np.ndarray], axes: Axes, rows: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(upright([images[row] for row in rows], axes.of(rows), size, axes.turned))


def _left(images: Sequence[np.ndarray], axes: Axes, pairs: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """What is left of each pair (m,) when one has been laid on the other: 1 where that is without hope."""
    left = np.ones(len(pairs), np.float32)
    still, moving = _two(images, axes, pairs, mirrored, COARSE)
    moves = register(solver(tangents(blur(still, SHARP))), blur(moving, SHARP), torch.zeros(len(pairs), 4), steps=5)
    hope = (alike(_band(still), move(_band(moving), moves)) > PROMISING).numpy()
    if not hope.any():
        return left
    still, moving = _two(images, axes, pairs[hope], mirrored[hope], FINE)
    moves = moves[hope] * torch.tensor([FINE[0] / COARSE[0], FINE[1] / COARSE[1], 1.0, 1.0])
    swap = _detail(still) > _detail(moving)                              # the sharper one moves: moving blurs
    still, moving = (torch.where(swap[:, None, None], a, b) for a, b in ((moving, still), (still, moving)))
    moves = torch.where(swap[:, None], -moves, moves)
    moves = register(solver(tangents(blur(still, SHARP))), blur(moving, SHARP), moves, steps=3)
    dark, light = still.flatten(1).quantile(0.05, dim=1), still.flatten(1).amax(dim=1)
    inside = still > (dark + 0.15 * (light - dark))[:, None, None]
    left[hope] = 1 - alike_everywhere(_band(still), move(_band(moving), moves), inside).numpy()
    return left


def _detail(x: torch.Tensor) -> torch.Tensor:
    """Share of what is finest, (b,)."""
    return (x - blur(x, SHARP)).flatten(1).norm(dim=1) / x.flatten(1).std(dim=1).clamp_min(1e-6)


def _two(images: Sequence[np.ndarray], axes: Axes, pairs: np.ndarray, mirrored: np.ndarray,
         size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    rows, where = np.unique(pairs, return_inverse=True)
    pictures, where = _upright(images, axes, rows, size), where.reshape(pairs.shape)
    second = pictures[where[:, 1]]
    return pictures[where[:, 0]], torch.where(torch.from_numpy(mirrored)[:, None, None], second.flip(2), second)


def _band(x: torch.Tensor) -> torch.Tensor:
    return blur(x, BAND[0]) - blur(x, BAND[1])


def _named(pairs: np.ndarray, left: np.ndarray) -> list[int]:
    """Which pairs are copies, by what they and other pairs of the same slices leave."""
    of = defaultdict(list)
    for k, pair in enumerate(pairs.tolist()):
        for row in pair:
            of[row].append(k)
    named = []
    for k, pair in enumerate(pairs.tolist()):
        others = [left[other] for row in pair for other in of[row] if other != k]
        if left[k] < CERTAIN or left[k] < min(COPY, RATIO * min(others, default=1.0)):
            named.append(k)
    return named
