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

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data_setup.resources import available_cores
from data_setup.similarity.neighbours import Neighbours, find_neighbours, nearest
from functions.runtime.errors import UserError

K, NEAREST, CANDIDATES = 60, 5, 24
ALPHA, LOOSE = 0.005, 0.05
FEWEST = 40                                              # slices, below which there is no null to speak of
PREFIX = "pixels-"                                       # of ids that were found here


@dataclass(frozen=True)
class PixelGroups:
    """A number for each slice's person, -1 for cannot tell; how many links join strangers, at most, and in words."""

    groups: np.ndarray               # (n,)
    links: int
    false_link_rate: float           # expected share of links between strangers: an upper estimate from the data's null
    verdict: str


def group_by_pixels(images: Sequence[np.ndarray], near: Neighbours | None = None) -> PixelGroups:
    """Groups gray slices (H, W) by person, from their pixels alone. Expects stacks: several slices of each scan.

    `near` is what `find_neighbours` says of them, where it is known.
    """
    n = len(images)
    if n < FEWEST:
        return _nothing(n, f"cannot tell: {n} slices are too few to know how alike strangers are")
    places, values, level, rate = _nearest(*_own(near or find_neighbours(images)))
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
    """(an id a path or None, the verdict); `read` makes a gray picture of a path, UserError: left without an id."""
    def one(path: str) -> np.ndarray | None:
        try:
            return read(path)
        except UserError:
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        pictures = list(pool.map(one, paths))
    good = [row for row, picture in enumerate(pictures) if picture is not None]
    found = group_by_pixels([pictures[row] for row in good])
    ids: list[str | None] = [None] * len(paths)
    for row, group in zip(good, found.groups, strict=True):
        ids[row] = f"{PREFIX}{group:04d}" if group >= 0 else None
    return ids, found.verdict


def _nothing(n: int, verdict: str) -> PixelGroups:
    return PixelGroups(np.full(n, -1), 0, 0.0, verdict)


def _own(near: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """r = x minus the mean of its nearest pictures, each mirrored if that is nearer; norm 1, as (even, odd)."""
    own_even, own_odd = np.empty_like(near.even), np.empty_like(near.odd)
    k = min(K, len(near.places) // 4)
    signs = np.where(near.mirrored[:, :k], -1, 1).astype(np.float32) / k
    for i, (who, sign) in enumerate(zip(near.places[:, :k], signs, strict=True)):
        own_even[i] = near.even[i] - near.even[who].mean(axis=0)
        own_odd[i] = near.odd[i] - sign @ near.odd[who]
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
    rank, count = _rank(n), min(CANDIDATES, n - 1)
    kept = min(2 * rank + 1, n - 1)
    places, values = nearest(even, odd, max(kept, count))
    ranks = np.arange(rank, kept)
    rates = (ranks * (values[:, rank - 1:kept - 1] - values[:, rank:kept])).mean(axis=1)
    return places[:, :count], values[:, :count], values[:, rank - 1].astype(float), float(max(np.median(rates), 1e-6))


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
