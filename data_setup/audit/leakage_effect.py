"""What a split's leak is worth: the nearest picture's class, with a patient's own slices allowed and forbidden."""

from typing import NamedTuple

import numpy as np

from data_setup.similarity.nearest_slice import nearest_labels
from data_setup.similarity.neighbours import Neighbours
from functions.evaluation.intervals import RESAMPLES, bootstrap_interval


class LeakWorth(NamedTuple):
    """Shares of test slices whose nearest training slice has their class, and the gap; each (value, low, high)."""

    as_split: tuple[float, float, float]
    strangers_only: tuple[float, float, float]
    gap: tuple[float, float, float]
    largest_class: float             # what always answering the largest training class would score
    people: int                      # test patients behind the intervals


def leak_worth(neighbours: Neighbours, labels: np.ndarray, people: np.ndarray, test: np.ndarray,
               resamples: int = RESAMPLES, seed: int = 0) -> LeakWorth | None:
    """1-nearest-neighbour accuracy of test slices among the others: as split, and with their own patient's forbidden.

    `people` are ids, `test` says which slices are tested; pictures are correlated as they are, on their own axes.
    Intervals are 95 %, from resampling test patients (functions/evaluation/intervals.py), nan for a single one. None
    where there is nobody left to compare with.
    """
    found = nearest_labels(neighbours, labels, people, test)
    if found is None:
        return None
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    right = np.stack([guess == labels[rows] for guess in found]).astype(float)
    _, person = np.unique(people[rows], return_inverse=True)
    count = np.bincount(person)
    sums = np.stack([np.bincount(person, row) for row in (*right, right[0] - right[1])])      # (3, people)
    drawn = np.random.default_rng(seed).multinomial(len(count), np.full(len(count), 1 / len(count)), resamples)
    draws = (drawn @ sums.T) / (drawn @ count)[:, None]
    low, high = bootstrap_interval(draws, patients=len(count))
    points = sums.sum(axis=1) / len(rows)
    largest = np.bincount(labels[known]).argmax()
    return LeakWorth(*(tuple(map(float, row)) for row in zip(points, low, high, strict=True)),
                     float((labels[rows] == largest).mean()), len(count))
