import numpy as np
import pytest

from functions.training.model_selection import clearly_worse, patient_losses


def test_a_patient_counts_once_whatever_the_number_of_slices():
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9]])
    losses = patient_losses(probabilities, np.array([0, 0, 1]), np.array(["B", "B", "A"]))
    assert losses == pytest.approx([-np.log(0.9), -(np.log(0.5) + np.log(0.25)) / 2])


def test_a_certain_mistake_is_a_large_loss_not_an_infinite_one():
    assert np.isfinite(patient_losses(np.array([[0.0, 1.0]]), np.array([0]), np.array(["A"]))).all()


def test_a_rise_within_the_patients_noise_is_not_clear_and_a_common_rise_is():
    lowest = [0.9, 1.1, 1.0, 0.8]
    assert not clearly_worse([1.6, 0.6, 1.2, 0.6], lowest), "mean rises by 0.05, patients disagree"
    assert clearly_worse([0.95, 1.15, 1.06, 0.85], lowest), "mean rises by 0.05, every patient agrees"
    assert not clearly_worse(lowest, lowest)
    assert not clearly_worse([0.5, 0.5, 0.5, 0.5], lowest)


def test_the_bar_is_one_standard_error():
    """Differences 0 and d: mean d/2, standard error d/2: exactly on the bar; a third of the weight more is over it."""
    assert not clearly_worse([1.0, 1.5], [1.0, 1.0])
    assert clearly_worse([1.1, 1.5], [1.0, 1.0])


def test_one_patient_has_no_noise_to_hide_in():
    assert clearly_worse([1.01], [1.0])
    assert not clearly_worse([1.0], [1.0])


def test_more_patients_make_the_standard_error_smaller():
    """Differences 0 and d by turns: the mean is d/2, the standard error d/2 of 2 patients and d/7.7 of 16."""
    assert not clearly_worse([1.0, 1.5], [1.0, 1.0])
    assert clearly_worse([1.0, 1.5] * 8, [1.0, 1.0] * 8)
    assert not clearly_worse([0.6, 1.5] * 8, [1.0, 1.0] * 8), "the mean is 0.05, the standard error 0.116"
