"""Folds of patients for cross-validation: each repeat tests every patient once."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_setup.splits.split import group_numbers, strata_of
from functions.runtime.errors import UserError


def patient_folds(classes: Sequence[str], subjects: Sequence[str | None], folds: int, repeats: int, seed: int,
                  balance: Sequence[float] | None = None) -> np.ndarray:
    """The fold 0 … folds - 1 of each slice in each repeat, int (repeats, slices): whole patients, stratified by class.

    In each repeat the patients of a class are shuffled and assigned to the folds in turn, each class starting at the
    fold after the previous class's last: sizes of folds, and of each class in them, differ by one patient at most.
    Patients with slices of several classes, and slices of unknown patients, are treated as in `hold_out`. Repeat r of a
    seed is the same whatever the number of repeats. With `balance` (slices,), of `balance.sort_keys`, the patients of a
    class are sorted by it and shuffled within groups of `folds`, so that folds are alike in it. UserError for fewer
    than two folds or fewer patients than folds.
    """
    classes, groups = np.asarray(classes, dtype=str), group_numbers(subjects)
    patients, first, rows = np.unique(groups, return_index=True, return_inverse=True)
    key = np.zeros(len(patients)) if balance is None else np.asarray(balance)[first]
    if not 2 <= folds <= len(patients):
        raise UserError(f"{folds} folds of {len(patients)} patients: there must be at least 2, and at most one per "
                        "patient")
    classes_of = defaultdict(set)
    for group, name in zip(groups.tolist(), classes.tolist(), strict=True):
        classes_of[group].add(name)
    strata = strata_of(pd.Series([tuple(sorted(classes_of[group])) for group in patients.tolist()]),
                       1 / folds).to_numpy()
    found = np.empty((repeats, len(patients)), dtype=int)
    for repeat in range(repeats):
        generator = np.random.default_rng([seed, repeat])
        order = np.concatenate([_shuffled(generator.permutation(np.flatnonzero(strata == stratum)), key,
                                          len(patients) if balance is None else folds, generator)
                                for stratum in sorted(set(strata))])
        found[repeat, order] = np.arange(len(order)) % folds
    return found[:, rows]


def _shuffled(patients: np.ndarray, key: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Shuffled patients, sorted by key and shuffled again within groups of `size`; as they are if there is one group.
    """
    if len(patients) <= size:
        return patients
    order = patients[np.argsort(key[patients], kind="stable")]
    return np.concatenate([generator.permutation(order[start:start + size]) for start in range(0, len(order), size)])
