"""Heads on frozen features: fitted to the training patients of a fold, penalties chosen by folds within them."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_setup.audit.baseline_features import slab_means
from data_setup.splits.folds import patient_folds
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.ridge import INNER, ridge_fold

Fit = Callable[[np.ndarray, int], np.ndarray]         # (tested slices, seed) → class probabilities of their patients
Head = Callable[[np.ndarray, Cohort], Fit]            # features of all slices, described once for all folds
INVERSE = 10.0 ** np.arange(-4, 1)         # C of the logistic regression on patients


def ridge_on_slices(x: np.ndarray, cohort: Cohort) -> Fit:
    """Ridge regression on slices, a patient's outputs being their means (`functions.cross_validation.ridge`)."""
    return partial(ridge_fold, x, cohort, patient_folds)


def logistic_on_patients(x: np.ndarray, cohort: Cohort) -> Fit:
    """Multinomial logistic regression on the mean features of each patient, C chosen in INNER folds by log-loss."""
    return partial(_logistic, cohort.patients(x)[0], cohort)


def logistic_on_slabs(x: np.ndarray, cohort: Cohort) -> Fit:
    """As `logistic_on_patients`, on the mean features of each of four stacks of neighbouring slices (4 D features)."""
    return partial(_logistic, in_slabs(x, cohort), cohort)


HEADS: dict[str, Head] = {"ridge, slices": ridge_on_slices, "logistic, patients": logistic_on_patients,
                          "logistic, slabs": logistic_on_slabs}


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
