"""The leakage effect of a split: nearest-neighbour accuracy with and without a patient's own training slices."""

from typing import NamedTuple

import numpy as np

from data_setup.similarity.nearest_slice import nearest_labels
from data_setup.similarity.neighbours import Neighbours
from functions.evaluation.intervals import FEWEST, RESAMPLES, bootstrap_interval


class LeakageEffect(NamedTuple):
    """Share of test slices whose nearest training slice has their class, and the gap; each (value, low, high)."""

    as_split: tuple[float, float, float]
    other_patients: tuple[float, float, float]
    gap: tuple[float, float, float]
    largest_class: float             # score of always predicting the largest training class
    patients: int                    # number of test patients


def leakage_effect(neighbours: Neighbours, labels: np.ndarray, subjects: np.ndarray, test: np.ndarray,
                   resamples: int = RESAMPLES, seed: int = 0) -> LeakageEffect | None:
    """1-nearest-neighbour accuracy of test slices: as split, and with slices of their own patient excluded.

    `subjects` are ids, `test` marks the test slices; images are compared by their correlation after alignment (see
    `similarity.neighbours`). Intervals are 95 %, from resampling test patients (functions/evaluation/intervals.py), nan
    for fewer than FEWEST patients: then a gap, however large, is not reported as different from 0 (findings.py requires
    a lower end above 0). None if no slices of other patients remain.
    """
    found = nearest_labels(neighbours, labels, subjects, test)
    if found is None:
        return None
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    right = np.stack([guess == labels[rows] for guess in found]).astype(float)
    _, subject = np.unique(subjects[rows], return_inverse=True)
    count = np.bincount(subject)
    sums = np.stack([np.bincount(subject, row) for row in (*right, right[0] - right[1])])      # (3, subjects)
    drawn = np.random.default_rng(seed).multinomial(len(count), np.full(len(count), 1 / len(count)), resamples)
    draws = (drawn @ sums.T) / (drawn @ count)[:, None]
    low, high = bootstrap_interval(draws, patients=len(count)) if len(count) >= FEWEST else np.full((2, 3), np.nan)
    points = sums.sum(axis=1) / len(rows)
    largest = np.bincount(labels[known]).argmax()
    return LeakageEffect(*(tuple(map(float, row)) for row in zip(points, low, high, strict=True)),
                     float((labels[rows] == largest).mean()), len(count))
