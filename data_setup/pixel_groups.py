"""Whose slice is it, from the pixels alone: slices of one scan share what sets that brain apart at its level.

1. Each brain is brought to its own axes (brain_axes.py), or mirrored where that fits better.
2. From each slice the mean of its K nearest slices is taken away: mostly other people's at the same level. What is
   left, r, is what is this brain's own. Neighbours in one stack have cos(r, r') near 0.9, strangers near 0.2 at most.
3. The null is the data's own: of each slice's similarities, those of rank a to 2a can hardly be its own person's. Their
   spacings say how fast strangers become rarer: the expected number of strangers above t is a·exp(-(t - v_a)/β).
4. Two slices are linked if each is among the other's NEAREST and their similarity leaves less than ALPHA expected
   strangers on either side. Stacks with gaps fall to pieces so: a piece much smaller than most may join another at less
   evidence (LOOSE) if each holds the other's best match.
5. Connected slices are one person. A slice without a link is -1: cannot tell.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data_setup.brain_axes import align

K, NEAREST, CANDIDATES = 60, 5, 24
ALPHA, LOOSE = 0.005, 0.05
SIZE, SMALL_SIZE, MANY = (52, 44), (26, 22), 20_000      # the smaller one for more than MANY slices
FEWEST = 40                                              # slices, below which there is no null to speak of
BLOCK = 256
PREFIX = "pixels-"                                       # of ids that were found here


@dataclass(frozen=True)
class PixelGroups:
    """A number for each slice's person, -1 for cannot tell; how many links join strangers, at most, and in words."""

    groups: np.ndarray               # (n,)
    links: int
    false_link_rate: float           # expected share of links between strangers: an upper estimate from the data's null
    verdict: str


def group_by_pixels(images: Sequence[np.ndarray]) -> PixelGroups:
    """Groups gray slices (H, W) by person, from their pixels alone. Expects stacks: several slices of each scan."""
    n = len(images)
    if n < FEWEST:
        return _nothing(n, f"cannot tell: {n} slices are too few to know how alike strangers are")
    x = align(images, SIZE if n <= MANY else SMALL_SIZE)
    even, odd = _own(*parts(x, SIZE if n <= MANY else SMALL_SIZE))
    places, values, level, rate = _nearest(even, odd)
    tails = np.minimum(values - level[:, None], values - level[places]) / rate      # in units of β, on the worse side
    pairs, total = _link(places, tails, _rank(n))
    labels = connected_components(_graph(pairs, n))[1]
    counts = np.bincount(labels)[labels]
    groups = np.full(n, -1)
    groups[counts > 1] = np.unique(labels[counts > 1], return_inverse=True)[1]
    if not len(pairs) or total > 0.5 * len(pairs):
        return _nothing(n, "cannot tell: no slices resemble each other more than strangers do")
    told = (groups >= 0).mean()
    verdict = (f"{groups.max() + 1:,} people by their pixels, with {told:.1%} of {n:,} slices; "
               f"expected share of links between strangers at most {total / len(pairs):.1%}")
    if told < 1:
        verdict += f"; cannot tell whose the other {int((groups < 0).sum()):,} are"
    return PixelGroups(groups, len(pairs), total / len(pairs), verdict)


def subjects_from_pixels(paths: Sequence[str], read: Callable[[str], np.ndarray]) -> tuple[list[str | None], str]:
    """(an id a path or None, the verdict); `read` makes a gray picture of a path, ValueError: left without an id."""
    def one(path: str) -> np.ndarray | None:
        try:
            return read(path)
        except ValueError:
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(pool.map(one, paths))
    good = [row for row, picture in enumerate(pictures) if picture is not None]
    found = group_by_pixels([pictures[row] for row in good])
    ids: list[str | None] = [None] * len(paths)
    for row, group in zip(good, found.groups, strict=True):
        ids[row] = f"{PREFIX}{group:04d}" if group >= 0 else None
    return ids, found.verdict


def _nothing(n: int, verdict: str) -> PixelGroups:
    return PixelGroups(np.full(n, -1), 0, 0.0, verdict)


def parts(x: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Even and odd half of each picture (n, h·w) under mirroring: the mirror image is even - odd."""
    mirrored = x.reshape(-1, *size)[:, :, ::-1].reshape(len(x), -1)
    half = np.arange(size[0] * size[1]).reshape(size)[:, :(size[1] + 1) // 2].ravel()
    return ((x + mirrored)[:, half] / np.sqrt(2)).astype(np.float32), ((x - mirrored)[:, half] / np.sqrt(2)).astype(
        np.float32)


def _own(even: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r = x minus the mean of its K nearest pictures, each mirrored if that is nearer; norm 1, as (even, odd)."""
    n = len(even)
    k = min(K, n // 4)
    own_even, own_odd = np.empty_like(even), np.empty_like(odd)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        odds = odd[rows] @ odd.T
        similar = even[rows] @ even.T + np.abs(odds)
        similar[np.arange(rows.stop - start), np.arange(start, rows.stop)] = -np.inf
        near = np.argpartition(-similar, k, axis=1)[:, :k]
        signs = np.sign(np.take_along_axis(odds, near, axis=1))
        for i, (who, sign) in enumerate(zip(near, signs, strict=True), start):
            own_even[i] = even[i] - even[who].mean(axis=0)
            own_odd[i] = odd[i] - sign @ odd[who] / k
    norm = np.sqrt((own_even**2).sum(axis=1) + (own_odd**2).sum(axis=1))[:, None]
    return own_even / np.maximum(norm, 1e-6), own_odd / np.maximum(norm, 1e-6)


def _rank(n: int) -> int:
    """a: similarities of rank a to 2a are strangers'."""
    return max(10, min(n // 50, 100))


def _nearest(even: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(CANDIDATES nearest of each slice (n, C), their similarities, v_a (n,), β): best first, mirrored where nearer.

    β is the median slice's mean of k·(v_k - v_{k+1}), k = a … 2a: what each of these is if the tail is exponential. A
    lighter tail, as a Gaussian's, makes it too large, and so the estimate of strangers.
    """
    n = len(even)
    rank = _rank(n)
    count = min(CANDIDATES, n - 1)
    places, values = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    level, rates = np.empty(n), np.empty(n)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        similar = even[rows] @ even.T + np.abs(odd[rows] @ odd.T)
        similar[np.arange(rows.stop - start), np.arange(start, rows.stop)] = -np.inf
        kept = min(2 * rank + 1, n - 1)
        top = np.argpartition(-similar, kept, axis=1)[:, :max(kept, count)]
        found = np.take_along_axis(similar, top, axis=1)
        order = np.argsort(-found, axis=1)
        top, found = np.take_along_axis(top, order, axis=1), np.take_along_axis(found, order, axis=1)
        places[rows], values[rows] = top[:, :count], found[:, :count]
        level[rows] = found[:, rank - 1]
        ranks = np.arange(rank, kept)
        rates[rows] = (ranks * (found[:, rank - 1:kept - 1] - found[:, rank:kept])).mean(axis=1)
    return places, values, level, float(max(np.median(rates), 1e-6))


def _link(places: np.ndarray, tails: np.ndarray, rank: int) -> tuple[np.ndarray, float]:
    """(pairs (m, 2), the expected number of them between strangers): both steps of linking."""
    n = len(places)
    rows = np.repeat(np.arange(n), NEAREST)
    first = {(i, j) for i, j, tail in zip(rows, places[:, :NEAREST].ravel(), tails[:, :NEAREST].ravel(), strict=True)
             if tail > np.log(rank / ALPHA)}
    pairs = {(min(i, j), max(i, j)) for i, j in first if (j, i) in first}
    expected = ALPHA * n / 2                                             # a pair would need luck on both sides
    for _ in range(3):
        labels = connected_components(_graph(np.array(sorted(pairs)).reshape(-1, 2), n))[1]
        sizes = np.bincount(labels)[labels]
        outside = np.where(labels[places] == labels[:, None], -np.inf, tails)
        best = outside.argmax(axis=1)
        partner = places[np.arange(n), best]
        small = np.minimum(sizes, sizes[partner]) < 0.5 * np.percentile(sizes, 90)
        joined = small & (partner[partner] == np.arange(n)) & (outside[np.arange(n), best] > np.log(rank / LOOSE))
        more = {(min(i, j), max(i, j)) for i, j in zip(np.flatnonzero(joined), partner[joined], strict=True)} - pairs
        if not more:
            break
        expected += LOOSE * small.sum() / 2
        pairs |= more
    return np.array(sorted(pairs)).reshape(-1, 2), expected


def _graph(pairs: np.ndarray, n: int) -> coo_matrix:
    return coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
