"""Heads on frozen features: fitted to the training patients of a fold, penalties chosen by folds within them."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.transfer.attention_head import attention_pooling
from benchmarks.transfer.cohort import Cohort
from data_setup.audit.baseline_features import slab_means
from data_setup.splits.folds import patient_folds
from functions.evaluation.patients import by_patient
from functions.evaluation.scores import brier

Fit = Callable[[np.ndarray, int], np.ndarray]         # (tested slices, seed) → class probabilities of their patients
Head = Callable[[np.ndarray, Cohort], Fit]            # features of all slices, described once for all folds
PENALTIES = 10.0 ** np.arange(0, 7)        # of ridge regression on standardised slices
INVERSE = 10.0 ** np.arange(-4, 1)         # C of the logistic regression on patients
INNER = 5                                  # folds within the training patients


def ridge_on_slices(x: np.ndarray, cohort: Cohort) -> Fit:
    """Ridge regression on slices, a patient's outputs being their means (`_ridge_fold`)."""
    return partial(_ridge_fold, x, cohort)


def _ridge_fold(x: np.ndarray, cohort: Cohort, tested: np.ndarray, seed: int) -> np.ndarray:
    """W = argmin ||X W - Y||² + λ ||W||² over slices X (n, D), Y in {-1, 1}^K: a patient's outputs are their means.

    Features are standardised with the training slices. λ is the value in PENALTIES with the smallest Brier score of
    patients in INNER folds of the training patients. The softmax of the outputs is (patients, K) of those in `tested`.
    """
    known = np.flatnonzero(~tested)
    inner = patient_folds([cohort.class_names[k] for k in cohort.labels[known]], cohort.subjects[known].tolist(), INNER,
                          1, seed)[0]
    errors = np.zeros(len(PENALTIES))
    for fold in range(INNER):
        fitted, left = known[inner != fold], known[inner == fold]
        for number, output in enumerate(_ridge(x[fitted], cohort.labels[fitted], x[left], cohort)):
            p, labels, _ = by_patient(output, cohort.labels[left], cohort.subjects[left])
            errors[number] += brier(softmax(p, axis=1), labels).sum()
    output = _ridge(x[known], cohort.labels[known], x[tested], cohort, PENALTIES[[errors.argmin()]])[0]
    return softmax(by_patient(output, cohort.labels[tested], cohort.subjects[tested])[0], axis=1)


def logistic_on_patients(x: np.ndarray, cohort: Cohort) -> Fit:
    """Multinomial logistic regression on the mean features of each patient, C chosen in INNER folds by log-loss."""
    return partial(_logistic, cohort.patients(x)[0], cohort)


def logistic_on_slabs(x: np.ndarray, cohort: Cohort) -> Fit:
    """As `logistic_on_patients`, on the mean features of each of four stacks of neighbouring slices (4 D features)."""
    return partial(_logistic, in_slabs(x, cohort), cohort)


HEADS: dict[str, Head] = {"ridge, slices": ridge_on_slices, "logistic, patients": logistic_on_patients,
                          "logistic, slabs": logistic_on_slabs, "attention, slices": attention_pooling}


def in_slabs(x: np.ndarray, cohort: Cohort) -> np.ndarray:
    """(patients, 4 D): each patient's features averaged in four stacks of neighbouring slices."""
    return slab_means(x, cohort.table["path"].tolist(), cohort.keys)[0]


def _logistic(features: np.ndarray, cohort: Cohort, tested: np.ndarray, seed: int) -> np.ndarray:
    _, labels, ids = cohort.patients(tested[:, None].astype(float))
    new = np.isin(ids, cohort.subjects[tested])
    folds = StratifiedKFold(INNER, shuffle=True, random_state=seed)
    model = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
                         {"logisticregression__C": INVERSE}, scoring=_log_loss, cv=folds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")     # Moderate: one patient
        model.fit(features[~new], labels[~new])
    probabilities = np.zeros((new.sum(), len(cohort.class_names)))
    probabilities[:, model.classes_] = model.predict_proba(features[new])
    return probabilities


def _log_loss(model, x: np.ndarray, y: np.ndarray) -> float:
    """Mean log-probability of the labels; a class without training patients has the smallest positive number."""
    column = {label: number for number, label in enumerate(model.classes_)}
    p = model.predict_proba(x)
    own = [p[row, column[label]] if label in column else 0.0 for row, label in enumerate(y)]
    return float(np.log(np.maximum(own, 1e-6)).mean())


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
