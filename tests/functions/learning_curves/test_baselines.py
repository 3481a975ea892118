import numpy as np
import pytest

from functions.learning_curves.baselines import boosting, commonest_class

LABELS = np.array([0, 2, 2, 1, 2, 0, 1, 0])
KNOWN = np.array([True, True, True, False, False, True, False, True])          # 0, 2, 2, 0, 0


def test_the_commonest_class_is_that_of_the_training_patients():
    assert commonest_class(LABELS, KNOWN, 4).tolist() == [[1, 0, 0, 0]] * 3
    assert commonest_class(LABELS, ~KNOWN, 4).tolist() == [[0, 1, 0, 0]] * 5


def test_boosting_learns_and_gives_a_class_without_training_patients_nothing():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2 * 2
    x = generator.normal(size=(60, 4)) + 2 * labels[:, None]
    known = np.arange(60) < 40
    found = boosting(x, labels, known, 3)
    assert found.shape == (20, 3)
    assert found.sum(axis=1) == pytest.approx(np.ones(20))
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == labels[~known]).mean() > 0.8
    hidden = np.where(known, labels, 2 - labels)
    assert (boosting(x, hidden, known, 3) == found).all(), "labels of test patients are not read"
