import numpy as np
import pytest

from tests.functions.learning_curves.cohorts import make_cohort


def test_patients_and_their_folds_are_in_one_order():
    cohort = make_cohort()
    values, labels, ids = cohort.patients(np.arange(62.0)[:, None])
    assert len(ids) == 31
    for row, subject in enumerate(ids):
        own = cohort.subjects == subject
        assert values[row, 0] == pytest.approx(np.flatnonzero(own).mean())
        assert (cohort.labels[own] == labels[row]).all()
        assert (cohort.folds[:, own] == cohort.patient_folds()[:, [row]]).all()
    assert cohort.num_folds == 3
    assert cohort.keys[0] == (cohort.subjects[0], cohort.table["class"][0])


def test_a_selection_keeps_rows_together_and_the_digest_is_of_the_slices():
    cohort = make_cohort()
    tested = cohort.tested(1, 2)
    part = cohort.select(tested)
    assert part.subjects.tolist() == cohort.subjects[tested].tolist()
    assert (part.folds[1] == 2).all()
    assert (part.labels == cohort.labels[tested]).all()
    assert part.table.index.tolist() == list(range(tested.sum()))
    assert part.digest != cohort.digest == make_cohort().digest
