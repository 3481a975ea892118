import numpy as np
import pytest

from functions.calibration import apply_temperature, ece, ece_floor, fit_temperature, reliability


def sure(n=4000, temperature=1.0, seed=0):
    """Labels drawn from probabilities that are then sharpened or dulled by a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = np.array([generator.choice(3, p=row) for row in p])
    return apply_temperature(p, temperature), y


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    p, y = sure(temperature=temperature)
    assert fit_temperature(p, y) == pytest.approx(1 / temperature, rel=0.1)


def test_a_temperature_keeps_the_order_and_one_changes_nothing():
    p, _ = sure(50)
    np.testing.assert_allclose(apply_temperature(p, 1), p)
    assert (apply_temperature(p, 4).argmax(1) == p.argmax(1)).all()
    assert apply_temperature(p, 4).max() < p.max()
    np.testing.assert_allclose(apply_temperature(p, 2.5).sum(axis=1), 1)


def test_calibrated_probabilities_lie_on_the_diagonal():
    p, y = sure(20000)
    for confidence, right, count in reliability(p, y):
        assert right == pytest.approx(confidence, abs=0.03 + 2 / np.sqrt(count))
    assert sum(count for _, _, count in reliability(p, y)) == 20000


def test_the_floor_of_the_ece_takes_off_what_chance_adds():
    """Calibrated people: their ECE is above 0 by chance alone; without chance's part it mostly reaches down to 0."""
    reach = 0
    for seed in range(100):
        p, y = sure(60, seed=seed)
        who, ones = np.arange(60), np.ones((1, 60))
        assert 0 <= ece_floor(p, y, who, ones)[0] < ece(p, y, ones)[0]
        reach += ece_floor(p, y, who, ones)[0] < 0.02
    assert reach > 50


def test_slices_of_a_patient_scatter_together_in_the_floor():
    p, y = sure(40)
    many = np.repeat(p, 5, axis=0), np.repeat(y, 5), np.repeat(np.arange(40), 5)
    np.testing.assert_allclose(ece_floor(*many, np.ones((1, 200))), ece_floor(p, y, np.arange(40), np.ones((1, 40))))
