"""The 1-nearest-neighbour baseline: the class of the most similar slice, without any learning."""

import numpy as np

from data_setup.similarity.neighbours import Neighbours


def nearest_labels(neighbours: Neighbours, labels: np.ndarray, subjects: np.ndarray,
                test: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The class of each test slice's nearest other slice, over all patients and over other patients only: (n,), (n,).

    `neighbours` are those of all slices, `subjects` their ids, `test` (all,) marks the test slices. All slices are
    searched where none of the neighbours qualifies; None if there are no other patients.
    """
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    if not len(rows) or len(np.unique(subjects[known])) < 2:
        return None
    allowed = ~test[neighbours.indices[rows]] & ~neighbours.mirrored[rows]
    other_subjects = allowed & (subjects[neighbours.indices[rows]] != subjects[rows][:, None])
    found = []
    for candidates, excluded in ((allowed, None), (other_subjects, subjects)):
        first = neighbours.indices[rows, candidates.argmax(axis=1)]
        unmatched = np.flatnonzero(~candidates.any(axis=1))
        first[unmatched] = known[nearest_known(neighbours, rows[unmatched], known, excluded)]
        found.append(labels[first])
    return found[0], found[1]


def nearest_known(neighbours: Neighbours, rows: np.ndarray, known: np.ndarray,
                   subjects: np.ndarray | None) -> np.ndarray:
    """Index into `known` of the nearest slice to each of some rows; with `subjects`, a row's own subject is excluded.
    """
    found = np.empty(len(rows), int)
    for start in range(0, len(rows), 256):
        part = rows[start:start + 256]
        similar = neighbours.even[part] @ neighbours.even[known].T + neighbours.odd[part] @ neighbours.odd[known].T
        if subjects is not None:
            similar[subjects[part][:, None] == subjects[known][None]] = -np.inf
        found[start:start + 256] = similar.argmax(axis=1)
    return found
