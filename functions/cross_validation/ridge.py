"""Ridge regression on the features of slices, its penalty chosen by folds within the training patients."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import softmax

from functions.cross_validation.cohort import Cohort
from functions.evaluation.patients import by_patient
from functions.evaluation.scores import brier

PENALTIES = 10.0 ** np.arange(0, 7)        # of standardised features
INNER = 5                                  # folds within the training patients
# (classes, subjects, folds, repeats, seed) → the fold of each slice in each repeat, (repeats, slices)
Divide = Callable[[Sequence[str], Sequence[str], int, int, int], np.ndarray]


def ridge_fold(x: np.ndarray, cohort: Cohort, divide: Divide, tested: np.ndarray, seed: int) -> np.ndarray:
    """W = argmin ||X W - Y||² + λ ||W||² over slices X (n, D), Y in {-1, 1}^K: a patient's outputs are their means.

    Features are standardised with the training slices. λ is the value in PENALTIES with the smallest Brier score of
    patients in INNER folds of the training patients, made by `divide`. The softmax of the outputs is (patients, K) of
    those in `tested`.
    """
    known = np.flatnonzero(~tested)
    classes = [cohort.class_names[k] for k in cohort.labels[known]]
    inner = divide(classes, cohort.subjects[known].tolist(), INNER, 1, seed)[0]
    errors = np.zeros(len(PENALTIES))
    for fold in range(INNER):
        fitted, left = known[inner != fold], known[inner == fold]
        for number, output in enumerate(_ridge(x[fitted], cohort.labels[fitted], x[left], cohort)):
            p, labels, _ = by_patient(output, cohort.labels[left], cohort.subjects[left])
            errors[number] += brier(softmax(p, axis=1), labels).sum()
    output = _ridge(x[known], cohort.labels[known], x[tested], cohort, PENALTIES[[errors.argmin()]])[0]
    return softmax(by_patient(output, cohort.labels[tested], cohort.subjects[tested])[0], axis=1)


def ridge_fitted_to(known: np.ndarray, x: np.ndarray, cohort: Cohort, divide: Divide, tested: np.ndarray,
                    seed: int) -> np.ndarray:
    """As `ridge_fold`, fitted to the slices `known`, bool (n,), instead of to all that are not tested."""
    rows = known | tested
    return ridge_fold(x[rows], cohort.select(rows), divide, tested[rows], seed)


def _ridge(x: np.ndarray, labels: np.ndarray, new: np.ndarray, cohort: Cohort,
           penalties: np.ndarray = PENALTIES) -> list[np.ndarray]:
    """Outputs (m, K) for the rows `new` with each of the penalties, by one eigendecomposition of XᵀX."""
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, new = (x - mean) / std, (new - mean) / std
    y = 2.0 * np.eye(len(cohort.class_names))[labels] - 1
    bias = y.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    projected, seen = vectors.T @ (x.T @ (y - bias)), new @ vectors
    return [seen @ (projected / (np.maximum(values, 0) + penalty)[:, None]) + bias for penalty in penalties]
