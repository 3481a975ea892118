"""Groups slices by patient from the pixels alone: slices of one scan share subject-specific anatomy.

1. Each brain is aligned to its own axes (alignment.py), or mirrored where that is more similar.
2. The mean of a slice's K nearest slices, mostly of other patients at the same level, is subtracted. The residual r is
   subject-specific. Neighbours in one stack have cos(r, r') near 0.9, slices of different patients at most about 0.2.
3. The null distribution comes from the data: of each slice's similarities, those of rank a to 2a belong almost surely
   to other patients. Their spacings give the rate of an exponential tail: the expected number of other patients' slices
   above t is a·exp(-(t - v_a)/β).
4. Two slices are linked if each is among the other's NEAREST and their similarity leaves fewer than ALPHA expected
   false matches on either side. Stacks with gaps are split by this rule: a component much smaller than most may join
   another at weaker evidence (LOOSE) if each contains the other's best match.
5. Connected components are patients. A slice without a link has group -1: not assigned.
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
MIN_SLICES = 40                                              # slices, below which the null cannot be estimated
PREFIX = "pixels-"                                       # of ids found by this module


@dataclass(frozen=True)
class PixelGroups:
    """A group number per slice, -1 if not assigned; the links, an upper bound of false ones, and a summary."""

    groups: np.ndarray               # (n,)
    pairs: np.ndarray                # (links, 2), rows of the slices
    false_link_rate: float           # expected share of links between different patients, an upper bound
    verdict: str

    @property
    def links(self) -> int:
        """The number of links."""
        return len(self.pairs)


def group_by_pixels(images: Sequence[np.ndarray], neighbours: Neighbours | None = None) -> PixelGroups:
    """Groups gray slices (H, W) by patient, from their pixels alone. Expects stacks: several slices of each scan.

    `neighbours` is the result of `find_neighbours`, if already computed.
    """
    n = len(images)
    if n < MIN_SLICES:
        return _no_groups(n, f"undetermined: {n} slices are too few to estimate how similar different patients are")
    indices, values, level, rate = _neighbours_and_tail(*_residuals(neighbours or find_neighbours(images)))
    tails = np.minimum(values - level[:, None], values - level[indices]) / rate      # in units of β, on the worse side
    pairs, total = _link(indices, tails, _null_rank(n))
    groups = linked_groups(pairs, n)
    if not len(pairs) or total > 0.5 * len(pairs):
        return _no_groups(n, "undetermined: no slices are more similar than those of different patients")
    assigned = (groups >= 0).mean()
    verdict = (f"{groups.max() + 1:,} patients found from pixels, with {assigned:.1%} of {n:,} slices; "
               f"expected share of links between different patients at most {total / len(pairs):.1%}")
    if assigned < 1:
        verdict += f"; {int((groups < 0).sum()):,} slices are not assigned"
    return PixelGroups(groups, pairs, total / len(pairs), verdict)


def linked_groups(pairs: np.ndarray, n: int) -> np.ndarray:
    """A group number per slice (n,), -1 for a slice without a link: the connected components of `pairs` (m, 2)."""
    labels = connected_components(_graph(pairs, n))[1]
    counts = np.bincount(labels)[labels]
    groups = np.full(n, -1)
    groups[counts > 1] = np.unique(labels[counts > 1], return_inverse=True)[1]
    return groups


def subjects_from_pixels(paths: Sequence[str], read: Callable[[str], np.ndarray]) -> tuple[list[str | None], str]:
    """(an id per path or None, the summary); `read` returns a gray image of a path; UserError: no id."""
    def one(path: str) -> np.ndarray | None:
        try:
            return read(path)
        except UserError:
            return None

    with ThreadPoolExecutor(available_cores()) as pool:
        images = list(pool.map(one, paths))
    readable = [row for row, image in enumerate(images) if image is not None]
    found = group_by_pixels([images[row] for row in readable])
    ids: list[str | None] = [None] * len(paths)
    for row, group in zip(readable, found.groups, strict=True):
        ids[row] = f"{PREFIX}{group:04d}" if group >= 0 else None
    return ids, found.verdict


def _no_groups(n: int, verdict: str) -> PixelGroups:
    return PixelGroups(np.full(n, -1), np.empty((0, 2), int), 0.0, verdict)


def _residuals(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """r = x minus the mean of its nearest images, each mirrored if that is nearer; norm 1, as (even, odd)."""
    residual_even, residual_odd = np.empty_like(neighbours.even), np.empty_like(neighbours.odd)
    k = min(K, len(neighbours.indices) // 4)
    signs = np.where(neighbours.mirrored[:, :k], -1, 1).astype(np.float32) / k
    for i, (nearest_rows, sign) in enumerate(zip(neighbours.indices[:, :k], signs, strict=True)):
        residual_even[i] = neighbours.even[i] - neighbours.even[nearest_rows].mean(axis=0)
        residual_odd[i] = neighbours.odd[i] - sign @ neighbours.odd[nearest_rows]
    norm = np.sqrt((residual_even**2).sum(axis=1) + (residual_odd**2).sum(axis=1))[:, None]
    return residual_even / np.maximum(norm, 1e-6), residual_odd / np.maximum(norm, 1e-6)


def _null_rank(n: int) -> int:
    """a: similarities of rank a to 2a are assumed to be of other patients."""
    return max(10, min(n // 50, 100))


def _neighbours_and_tail(even: np.ndarray, odd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(indices of the CANDIDATES nearest of each slice (n, C), their similarities, v_a (n,), β), nearest first.

    β is the median over slices of the mean of k·(v_k - v_{k+1}), k = a … 2a, which equals β for an exponential tail.
    For a lighter tail, such as a Gaussian's, it overestimates β, and so the number of false links.
    """
    n = len(even)
    rank, count = _null_rank(n), min(CANDIDATES, n - 1)
    kept = min(2 * rank + 1, n - 1)
    indices, values = nearest(even, odd, max(kept, count))
    ranks = np.arange(rank, kept)
    rates = (ranks * (values[:, rank - 1:kept - 1] - values[:, rank:kept])).mean(axis=1)
    return indices[:, :count], values[:, :count], values[:, rank - 1].astype(float), float(max(np.median(rates), 1e-6))


def _link(indices: np.ndarray, tails: np.ndarray, rank: int) -> tuple[np.ndarray, float]:
    """(pairs (m, 2), expected number of false pairs): both linking steps."""
    n = len(indices)
    rows = np.repeat(np.arange(n), NEAREST)
    first = {(i, j) for i, j, tail in zip(rows, indices[:, :NEAREST].ravel(), tails[:, :NEAREST].ravel(), strict=True)
             if tail > np.log(rank / ALPHA)}
    pairs = {(min(i, j), max(i, j)) for i, j in first if (j, i) in first}
    expected = ALPHA * n / 2                                             # a false pair must pass on both sides
    for _ in range(3):
        labels = connected_components(_graph(np.array(sorted(pairs)).reshape(-1, 2), n))[1]
        sizes = np.bincount(labels)[labels]
        outside = np.where(labels[indices] == labels[:, None], -np.inf, tails)
        best = outside.argmax(axis=1)
        partner = indices[np.arange(n), best]
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
