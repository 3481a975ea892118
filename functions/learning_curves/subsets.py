"""Nested subsets of the training patients of a fold, stratified by class."""

from collections.abc import Sequence

import numpy as np

from functions.cross_validation.cohort import Cohort
from functions.learning_curves.methods import ALL


def training_order(cohort: Cohort, repeat: int, fold: int, seed: int) -> list[str]:
    """The fold's training patients in an order whose every beginning has the classes in about their own shares.

    The j-th of the m patients of a class, in random order, has the place (j + ½) / m; patients are ordered by place,
    equal ones at random. A beginning of s patients has s·m / n ± 1 of a class with m of n; it lacks a class with few.
    Patients with slices of several classes are a class of their own.
    """
    tested = cohort.tested(repeat, fold)
    classes: dict[str, set[int]] = {}
    for subject, label in zip(cohort.subjects[~tested].tolist(), cohort.labels[~tested].tolist(), strict=True):
        classes.setdefault(subject, set()).add(label)
    generator = np.random.default_rng([seed, repeat, fold])
    strata: dict[tuple[int, ...], list[str]] = {}
    for subject in sorted(classes):
        strata.setdefault(tuple(sorted(classes[subject])), []).append(subject)
    placed = []
    for _, members in sorted(strata.items()):
        places = (np.arange(len(members)) + 0.5) / len(members)
        placed += list(zip(places.tolist(), generator.random(len(members)).tolist(),
                           generator.permutation(members).tolist(), strict=True))
    return [subject for *_, subject in sorted(placed)]


def possible_sizes(cohort: Cohort, sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """(the sizes smaller than every fold's training set, and ALL; the other sizes)."""
    smallest = min(len(set(cohort.subjects[folds != fold])) for folds in cohort.folds for fold in np.unique(folds))
    fits = [size for size in sizes if size == ALL or size < smallest]
    return fits, [size for size in sizes if size not in fits]


def training_slices(cohort: Cohort, order: Sequence[str], size: int, repeat: int, fold: int) -> np.ndarray:
    """The slices of the first `size` patients of `order`, bool (n,).

    RuntimeError if one of them is a test patient of the fold: a score of patients that were trained on means nothing.
    """
    chosen = order if size == ALL else order[:size]
    found = np.isin(cohort.subjects, chosen)
    if leaked := sorted(set(cohort.subjects[found & cohort.tested(repeat, fold)].tolist())):
        raise RuntimeError(f"patient {leaked[0]} is both trained on and tested in repeat {repeat + 1}, fold {fold + 1}")
    return found


def missing_classes(cohort: Cohort, known: np.ndarray) -> list[str]:
    """The classes without a slice in `known`, bool (n,)."""
    return [name for number, name in enumerate(cohort.class_names) if not (cohort.labels[known] == number).any()]
