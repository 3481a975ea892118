import numpy as np
import pytest

from data_setup.splits.folds import patient_folds
from functions.runtime.errors import UserError

# 7 healthy patients of 3 slices, 9 mild ones of 2, one severe patient of 4
SUBJECTS = [f"h{i}" for i in range(7) for _ in range(3)] + [f"m{i}" for i in range(9) for _ in range(2)] + ["s"] * 4
CLASSES = ["healthy"] * 21 + ["mild"] * 18 + ["severe"] * 4


def test_each_patient_is_tested_once_per_repeat_with_all_slices():
    found = patient_folds(CLASSES, SUBJECTS, 4, 3, seed=1)
    assert found.shape == (3, len(SUBJECTS))
    assert set(found.ravel()) == {0, 1, 2, 3}
    for repeat in found:
        for subject in set(SUBJECTS):
            assert len({fold for fold, s in zip(repeat, SUBJECTS, strict=True) if s == subject}) == 1


@pytest.mark.parametrize("folds", [2, 3, 5, 17])
def test_folds_and_their_classes_differ_by_one_patient_at_most(folds):
    for repeat in patient_folds(CLASSES, SUBJECTS, folds, 4, seed=0):
        fold_of = dict(zip(SUBJECTS, repeat, strict=True))
        for group in ("h", "m", ""):
            counts = np.bincount([fold for s, fold in fold_of.items() if s.startswith(group)], minlength=folds)
            assert np.ptp(counts) <= 1


def test_repeats_differ_and_do_not_depend_on_their_number_or_on_the_order_of_slices():
    three, one = (patient_folds(CLASSES, SUBJECTS, 4, n, seed=5) for n in (3, 1))
    assert (three[0] == one[0]).all()
    assert (three[0] != three[1]).any()
    assert (patient_folds(CLASSES, SUBJECTS, 4, 1, seed=6) != one).any()
    order = np.random.default_rng(0).permutation(len(SUBJECTS))
    shuffled = patient_folds([CLASSES[i] for i in order], [SUBJECTS[i] for i in order], 4, 1, seed=5)
    assert (shuffled[0] == one[0][order]).all()


def test_slices_of_unknown_patients_are_patients_of_their_own():
    folds = patient_folds(["a"] * 6, [None] * 6, 3, 1, seed=0)[0]
    assert np.bincount(folds).tolist() == [2, 2, 2]


@pytest.mark.parametrize("folds", [1, 0, 18])
def test_an_impossible_number_of_folds_is_one_line_with_both_numbers(folds):
    with pytest.raises(UserError, match=f"{folds} folds of 17 patients"):
        patient_folds(CLASSES, SUBJECTS, folds, 1, seed=0)
