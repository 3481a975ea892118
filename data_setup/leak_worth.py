"""What a split's leak is worth: the nearest picture's class, with a patient's own slices allowed and forbidden."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_setup.brain_axes import align
from data_setup.pixel_groups import BLOCK, MANY, SIZE, SMALL_SIZE


class LeakWorth(NamedTuple):
    """Shares of test slices whose nearest training slice has their class, and the gap; each (value, low, high)."""

    as_split: tuple[float, float, float]
    strangers_only: tuple[float, float, float]
    gap: tuple[float, float, float]
    largest_class: float             # what always answering the largest training class would score
    people: int                      # test patients behind the intervals


def leak_worth(images: Sequence[np.ndarray], labels: np.ndarray, people: np.ndarray, test: np.ndarray,
               resamples: int = 2000, seed: int = 0) -> LeakWorth | None:
    """1-nearest-neighbour accuracy of test slices among the others: as split, and with their own patient's forbidden.

    `people` are ids, `test` says which slices are tested; pictures are brought to their own axes and correlated.
    Intervals are 95 %, from resampling test patients. None where there is nobody left to compare with.
    """
    x = align(images, SIZE if len(images) <= MANY else SMALL_SIZE)
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    if not len(rows) or len(np.unique(people[known])) < 2:
        return None
    right = np.empty((2, len(rows)))
    for start in range(0, len(rows), BLOCK):
        part = rows[start:start + BLOCK]
        similar = x[part] @ x[known].T
        right[0, start:start + BLOCK] = labels[known[similar.argmax(axis=1)]] == labels[part]
        similar[people[part][:, None] == people[known][None]] = -np.inf
        right[1, start:start + BLOCK] = labels[known[similar.argmax(axis=1)]] == labels[part]
    _, person = np.unique(people[rows], return_inverse=True)
    count = np.bincount(person)
    sums = np.stack([np.bincount(person, row) for row in (*right, right[0] - right[1])])      # (3, people)
    drawn = np.random.default_rng(seed).multinomial(len(count), np.full(len(count), 1 / len(count)), resamples)
    draws = (drawn @ sums.T) / (drawn @ count)[:, None]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    points = sums.sum(axis=1) / len(rows)
    largest = np.bincount(labels[known]).argmax()
    return LeakWorth(*(tuple(map(float, row)) for row in zip(points, low, high, strict=True)),
                     float((labels[rows] == largest).mean()), len(count))
