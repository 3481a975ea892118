"""Which links between slices, found from pixels alone, speak of a leak where patients are known by name.

`from_pixels.py` was made for stacks of brain slices. On other images its bound on false links can be too low, because
views of different patients are more often alike than the exponential tail says. There, links are rare: 0.01 and 0.02 an
image among 80 and 400 patients of the phantom's vessels, of which a third are false; 0.09 on the sparsest stacks that
were tried (8 slices of a phantom brain), 0.7 to 2 on denser ones, without any false one. And a patient with two names
gives several links between the two, a chance likeness one.
"""

from collections import Counter

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

SEVERAL = 2             # links between two patients, from which they are taken for one
SPARSE = 0.05           # links an image, below which the images are taken for no stacks


def groups_without_chance(subjects: pd.Series, groups: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """(a group per slice, -1 without, number of links taken for chance); `pairs` (m, 2) are the links of `groups` (n,).

    Where links are SPARSE, those between two known patients with fewer than SEVERAL are dropped.
    """
    names = [frozenset(subjects.iloc[pair]) for pair in pairs]
    between = Counter(name for name in names if len(name) == 2 and not any(map(pd.isna, name)))
    single = np.array([0 < between[name] < SEVERAL for name in names], dtype=bool)
    n = len(groups)
    if not single.any() or len(pairs) >= SPARSE * n:
        return groups, 0
    kept = pairs[~single]
    labels = connected_components(coo_matrix((np.ones(len(kept), np.int8), (kept[:, 0], kept[:, 1])), shape=(n, n)))[1]
    several = np.bincount(labels)[labels] > 1
    found = np.full(n, -1)
    found[several] = np.unique(labels[several], return_inverse=True)[1]
    return found, int(single.sum())
