"""The same slice twice: equal pixels, or a copy that was turned, shifted, scaled, mirrored, re-lit or compressed.

Two pictures, each brought to its own axes and blurred, are compared by tangent distance (Simard et al. 1993): what is
left of one after the best fit by the other, its small shifts, turn, change of scale, gain and offset; the fit is made
twice, the second time on the moved picture. A copy leaves what interpolation and compression leave; the next slice of
the same scan leaves anatomy. Where slices lie so close that neighbours leave as little, there are two of them: only
what leaves a quarter of the second nearest, or next to nothing, is a copy. Strict on purpose: of turned, shifted and
re-lit copies on coarse pictures it names a third (docs/LOG.md).
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from data_setup.brain_axes import align
from data_setup.pixel_groups import BLOCK, SIZE, parts

CANDIDATES, BLUR = 10, 2.0
CLOSE, TWICE = 0.02, 2     # tangent distance below which a pair is fitted again, and how many of a picture's nearest
COPY, CERTAIN = 3e-4, 3e-5     # what a copy may leave, and what only a copy leaves; neighbours 1 mm apart: 5e-4


class Copy(NamedTuple):
    """Two slices that are one: rows of the list, how (exact, near), what is left after the fit (1 - r²)."""

    first: int
    second: int
    kind: str
    distance: float


def digest_of(image: np.ndarray) -> str:
    """A hash of a picture's pixels and shape."""
    return hashlib.blake2b(image.tobytes() + repr(image.shape).encode(), digest_size=16).hexdigest()


def find_copies(images: Sequence[np.ndarray], digests: Sequence[str] | None = None) -> list[Copy]:
    """Pairs of gray pictures (H, W) that show the same slice; a picture is paired with the first of its equals.

    `digests` are those of the whole pictures, where `images` are smaller ones.
    """
    first, copies = {}, []
    for i, digest in enumerate(digests or map(digest_of, images)):
        if digest in first:
            copies.append(Copy(first[digest], i, "exact", 0.0))
        else:
            first[digest] = i
    rows = np.array(sorted(first.values()))
    if len(rows) > CANDIDATES + 1:
        copies += [Copy(int(rows[i]), int(rows[j]), "near", d) for i, j, d in _near([images[row] for row in rows])]
    return copies


def _near(images: Sequence[np.ndarray]) -> list[tuple[int, int, float]]:
    x = align(images, SIZE)
    places, mirrored = _candidates(x)
    pictures = ndimage.gaussian_filter(x.reshape(-1, *SIZE), (0, BLUR, BLUR))
    empty = ~x.any(axis=1)
    found = {}
    for i in np.flatnonzero(~empty):
        basis = np.linalg.qr(_tangents(pictures[i]))[0]
        others = [pictures[j][:, ::-1] if flip else pictures[j] for j, flip in zip(places[i], mirrored[i], strict=True)]
        distances = np.array([_left(basis, other) for other in others])
        order = np.argsort(distances)
        order = [k for k in order[:TWICE] if not empty[places[i][k]] and distances[k] < CLOSE]
        left = sorted((min(distances[k], _left_after_moving(pictures[i], others[k])), int(places[i][k])) for k in order)
        for rank, (value, j) in enumerate(left):
            other = left[1][0] if rank == 0 and len(left) > 1 else 0.0 if rank else 1.0
            if value < CERTAIN or value < min(COPY, other / 4):
                pair = (min(i, j), max(i, j))
                found[pair] = min(found.get(pair, 1.0), value)
    return sorted((int(i), j, float(d)) for (i, j), d in found.items())


def _candidates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(each picture's CANDIDATES nearest, whether its mirror image was the nearer), blockwise."""
    even, odd = parts(x, SIZE)
    places = np.empty((len(x), CANDIDATES), np.int64)
    mirrored = np.empty((len(x), CANDIDATES), bool)
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        odds = odd[rows] @ odd.T
        similar = even[rows] @ even.T + np.abs(odds)
        similar[np.arange(rows.stop - start), np.arange(start, rows.stop)] = -np.inf
        places[rows] = np.argpartition(-similar, CANDIDATES, axis=1)[:, :CANDIDATES]
        mirrored[rows] = np.take_along_axis(odds, places[rows], axis=1) < 0
    return places, mirrored


def _tangents(picture: np.ndarray) -> np.ndarray:
    """(h·w, 6): the picture, its change under a shift down, right, a turn, a scaling, and a constant."""
    down, right = np.gradient(picture)
    y, x = (axis - axis.mean() for axis in np.mgrid[:picture.shape[0], :picture.shape[1]].astype(np.float32))
    columns = [picture, down, right, down * x - right * y, down * y + right * x, np.ones_like(picture)]
    return np.stack([column.ravel() for column in columns], axis=1)


def _left(basis: np.ndarray, other: np.ndarray) -> float:
    """1 - r²: the share of the other picture's variance that the orthonormal basis cannot explain."""
    y = other.ravel() - other.mean()
    return float(1 - ((y @ basis) ** 2).sum() / max((y @ y), 1e-12))


def _left_after_moving(picture: np.ndarray, other: np.ndarray) -> float:
    """What is left when the picture has first been moved as the first fit says."""
    tangents = _tangents(picture)
    gain, down, right, turn, scale, _ = np.linalg.lstsq(tangents, other.ravel(), rcond=None)[0]
    if abs(gain) < 1e-6:
        return 1.0
    down, right, turn, scale = (value / gain for value in (down, right, turn, scale))
    y, x = np.mgrid[:picture.shape[0], :picture.shape[1]].astype(np.float32)
    cy, cx = y - y.mean(), x - x.mean()
    places = [y + down + turn * cx + scale * cy, x + right - turn * cy + scale * cx]
    moved = ndimage.map_coordinates(picture, places, order=3, mode="nearest")
    return _left(np.linalg.qr(_tangents(moved))[0], other)
