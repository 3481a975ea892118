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

from data_setup.subjects.from_pixels import linked_groups

SEVERAL = 2             # links between two patients, from which they are taken for one
SPARSE = 0.05           # links an image, below which the images are taken for no stacks


def groups_without_chance(subjects: pd.Series, groups: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, int]:
    """(a group per slice, -1 without, number of links taken for chance); `pairs` (m, 2) are the links of `groups` (n,).

    Where links are SPARSE, those between two known patients with fewer than SEVERAL are dropped.
    """
    if len(pairs) >= SPARSE * len(groups):
        return groups, 0
    names = [frozenset(subjects.iloc[pair]) for pair in pairs]
    between = Counter(name for name in names if len(name) == 2 and not any(map(pd.isna, name)))
    single = np.array([0 < between[name] < SEVERAL for name in names], dtype=bool)
    if not single.any():
        return groups, 0
    return linked_groups(pairs[~single], len(groups)), int(single.sum())
