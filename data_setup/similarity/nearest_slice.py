"""What the nearest picture's class would score: recognising, with nothing learnt."""

import numpy as np

from data_setup.similarity.neighbours import Neighbours


def labels_near(near: Neighbours, labels: np.ndarray, people: np.ndarray,
                test: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The class of each test slice's nearest other slice, as split and with its own patient's forbidden: (n,), (n,).

    `near` are the neighbours of all slices, `people` ids, `test` (all,) says which slices are tested. All slices are
    searched where none of the neighbours may be taken; None where there is nobody to compare with.
    """
    rows, known = np.flatnonzero(test), np.flatnonzero(~test)
    if not len(rows) or len(np.unique(people[known])) < 2:
        return None
    allowed = ~test[near.places[rows]] & ~near.mirrored[rows]
    strangers = allowed & (people[near.places[rows]] != people[rows][:, None])
    found = []
    for some, own in ((allowed, None), (strangers, people)):
        first = near.places[rows, some.argmax(axis=1)]
        lost = np.flatnonzero(~some.any(axis=1))
        first[lost] = known[_nearest_known(near, rows[lost], known, own)]
        found.append(labels[first])
    return found[0], found[1]


def _nearest_known(near: Neighbours, rows: np.ndarray, known: np.ndarray, people: np.ndarray | None) -> np.ndarray:
    """Which of the `known` slices is nearest to each of some rows; `people`: ids, of which a row's own is forbidden."""
    found = np.empty(len(rows), int)
    for start in range(0, len(rows), 256):
        part = rows[start:start + 256]
        similar = near.even[part] @ near.even[known].T + near.odd[part] @ near.odd[known].T
        if people is not None:
            similar[people[part][:, None] == people[known][None]] = -np.inf
        found[start:start + 256] = similar.argmax(axis=1)
    return found
