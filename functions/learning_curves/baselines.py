"""Methods without a network: class probabilities of the patients that are not in `known`.

`labels` (n,) are class indices of patients, `known` (n,) bool the training patients.
"""

from collections.abc import Callable

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from functions.cross_validation.cohort import Cohort


def of_patients(learn: Callable, cohort: Cohort, x: np.ndarray, known: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """learn(numbers, labels, training patients) on the rows of `x` (patients, D) of training and test patients.

    `known` and `tested` (n,) bool are their slices; patients are in the order of `Cohort.patients`.
    """
    _, labels, ids = cohort.patients(known[:, None].astype(float))
    trained, new = np.isin(ids, cohort.subjects[known]), np.isin(ids, cohort.subjects[tested])
    rows = trained | new
    return learn(x[rows], labels[rows], trained[rows])


def commonest_class(labels: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    """Probability 1 of the class with the most training patients, of several the first."""
    counts = np.bincount(labels[known], minlength=num_classes)
    return np.tile(np.eye(num_classes)[counts.argmax()], (int((~known).sum()), 1))


def boosting(x: np.ndarray, labels: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    """scikit-learn's gradient boosting on numbers (n, D) with its defaults: 100 trees of depth 3 per class, learning
    rate 0.1. A class without a training patient has probability 0.
    """
    model = GradientBoostingClassifier(random_state=0).fit(x[known], labels[known])
    found = np.zeros((int((~known).sum()), num_classes))
    found[:, model.classes_] = model.predict_proba(x[~known])
    return found
