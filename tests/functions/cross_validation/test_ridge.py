import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import Ridge

from data_setup.splits.folds import patient_folds
from functions.cross_validation import ridge
from functions.cross_validation.ridge import ridge_fold
from functions.evaluation.patients import by_patient
from tests.functions.learning_curves.cohorts import make_cohort


def features(cohort, signal=2.0):
    return np.random.default_rng(0).normal(size=(len(cohort.labels), 5)) + signal * np.eye(5)[cohort.labels]


def test_outputs_are_those_of_ridge_regression_on_standardised_slices():
    cohort = make_cohort()
    x, tested = features(cohort), cohort.tested(0, 1)
    scaled = (x - x[~tested].mean(axis=0)) / (x[~tested].std(axis=0) + 1e-6)
    found = ridge._ridge(x[~tested], cohort.labels[~tested], x[tested], cohort)
    for penalty, output in zip(ridge.PENALTIES, found, strict=True):
        model = Ridge(penalty).fit(scaled[~tested], 2 * np.eye(3)[cohort.labels[~tested]] - 1)
        assert output == pytest.approx(model.predict(scaled[tested]))
    means = [softmax(by_patient(output, cohort.labels[tested], cohort.subjects[tested])[0], axis=1) for output in found]
    chosen = ridge_fold(x, cohort, patient_folds, tested, 0)
    assert any(chosen == pytest.approx(mean) for mean in means)


def test_test_labels_are_never_read_and_inner_folds_keep_patients_together():
    cohort, asked = make_cohort(), []

    def divide(classes, subjects, folds, repeats, seed):
        asked.append((len(classes), folds, repeats, seed))
        found = patient_folds(classes, subjects, folds, repeats, seed)
        assert all(len(set(found[0][np.array(subjects) == subject])) == 1 for subject in subjects)
        return found

    x, tested = features(cohort), cohort.tested(0, 1)
    found = ridge_fold(x, cohort, divide, tested, 7)
    assert asked == [(int((~tested).sum()), 5, 1, 7)]
    swapped = cohort._replace(labels=np.where(tested, 0, cohort.labels))
    swapped = ridge_fold(x, swapped, patient_folds, tested, 7)
    assert swapped == pytest.approx(found)
