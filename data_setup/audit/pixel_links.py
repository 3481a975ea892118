"""Which links between slices, found from pixels alone, speak of a leak where patients are known by name.

`from_pixels.py` was made for stacks of brain slices. On other images its bound on false links can be too low, because
views of different patients are more often alike than the exponential tail says. Names tell: a patient with two names
gives many links between the two, a chance likeness one. Single links that contradict the names are therefore counted
as evidence only if they are more frequent across splits than within them, where they cannot be a leak.
"""

from collections import Counter

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import binomtest

SEVERAL = 2             # links between two patients, from which they are taken for one
P = 0.05                # of single links across splits, above which they are taken for chance


def groups_without_chance(table: pd.DataFrame, groups: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """(a group per slice, -1 without, number of links taken for chance); `pairs` (m, 2) are the links of `groups` (n,).

    Links within a patient, of slices without a known patient, and between patients with SEVERAL of them are kept. The
    single ones are dropped unless those across splits exceed what patients drawn at random would give (one-sided
    binomial test at P; the expected share is that of pairs of slices in different splits).
    """
    subject = [None if pd.isna(one) else one for one in table["subject"]]
    split = table["split"].tolist()
    names = [frozenset((subject[i], subject[j])) for i, j in pairs.tolist()]
    between = Counter(name for name in names if len(name) == 2 and None not in name)
    single = np.array([between[name] in range(1, SEVERAL) for name in names], dtype=bool)
    if not single.any():
        return groups, 0
    across = int(sum(split[i] != split[j] for i, j in pairs[single].tolist()))
    expected = 1 - float((table["split"].value_counts(normalize=True) ** 2).sum())
    if across and binomtest(across, int(single.sum()), expected, alternative="greater").pvalue < P:
        return groups, 0
    n, kept = len(table), pairs[~single]
    graph = coo_matrix((np.ones(len(kept), np.int8), (kept[:, 0], kept[:, 1])), shape=(n, n))
    labels = connected_components(graph)[1]
    several = np.bincount(labels)[labels] > 1
    found = np.full(n, -1)
    found[several] = np.unique(labels[several], return_inverse=True)[1]
    return found, int(single.sum())
