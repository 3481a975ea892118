"""What the nearest training picture's class would score: recognising, with nothing learnt."""

from collections.abc import Sequence

import numpy as np

from data_setup.brain_axes import align
from data_setup.pixel_groups import BLOCK, MANY, SIZE, SMALL_SIZE


def nearest_labels(images: Sequence[np.ndarray], labels: np.ndarray, people: np.ndarray,
                   test: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The class of each test slice's nearest other slice, as split and with its own patient's forbidden: (n,), (n,).

    `people` are ids, `test` (all,) says which slices are tested; pictures are brought to their own axes and correlated.
    None where there is nobody to compare with.
    """
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    if not len(rows) or len(np.unique(people[known])) < 2:
        return None
    x = align(images, SIZE if len(images) <= MANY else SMALL_SIZE)
    found = np.empty((2, len(rows)), dtype=int)
    for start in range(0, len(rows), BLOCK):
        part = rows[start:start + BLOCK]
        similar = x[part] @ x[known].T
        found[0, start:start + BLOCK] = labels[known[similar.argmax(axis=1)]]
        similar[people[part][:, None] == people[known][None]] = -np.inf
        found[1, start:start + BLOCK] = labels[known[similar.argmax(axis=1)]]
    return found[0], found[1]
