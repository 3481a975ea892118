import numpy as np
import pytest

from functions.evaluation.calibration import apply_temperature, ece, fit_temperature, reliability


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


@pytest.mark.parametrize("lower", [0.15, 0.25, 0.45, 0.55, 0.75, 0.85])
def test_ece_takes_each_bin_by_itself(lower):
    """Two neighbouring bins, one too doubtful, one too sure: merged they would cancel out."""
    upper, rest = lower + 0.1, 9 if lower < 0.5 else 1
    p = np.array([[c, *[(1 - c) / rest] * rest] for c in (lower, upper)])
    y = np.array([0, 1])                                     # the lower is right, the upper wrong
    assert ece(p, y, np.ones((1, 2)))[0] == pytest.approx(((1 - lower) + upper) / 2)
    assert [row[2] for row in reliability(p, y)] == [1, 1]


def test_certainty_belongs_to_the_top_bin():
    p, y = np.array([[1.0, 0.0], [0.95, 0.05]]), np.array([0, 1])
    assert ece(p, y, np.ones((1, 2)))[0] == pytest.approx(0.95 / 2), "gaps 0 and 0.95 of one bin"
    assert len(reliability(p, y)) == 1
