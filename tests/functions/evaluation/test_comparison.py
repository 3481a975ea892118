import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score

from functions.evaluation.auroc import auroc, auroc_interval
from functions.evaluation.comparison import paired
from tests.functions.evaluation.cohorts import people_of


def test_two_networks_are_compared_on_the_same_patients():
    (p, y, who), (q, _, _) = people_of(3, people=80, signal=1.8), people_of(3, people=80, signal=0.2)
    found = paired(p, q, y, who, 1)
    assert set(found) == {"accuracy", "balanced_accuracy", "brier", "auroc", "auroc_disease"}
    assert found["accuracy"].value == pytest.approx(
        accuracy_score(y, p.argmax(1)) - accuracy_score(y, q.argmax(1)))
    for name in ("accuracy", "balanced_accuracy", "auroc", "auroc_disease"):
        assert 0 < found[name].low < found[name].value < found[name].high, name
    assert found["auroc_disease"].p < 0.05
    assert np.isnan(found["accuracy"].p)
    back = paired(q, p, y, who, 1)
    for name, row in back.items():
        assert (row.low, row.high) == pytest.approx((-found[name].high, -found[name].low)), name
    itself = paired(p, p, y, who, 1)
    assert all(row.value == 0 for row in itself.values())
    assert not any(row.low < 0 or row.high > 0 for row in itself.values())


def test_the_difference_to_a_constant_is_the_interval_of_the_auroc_itself():
    """A constant has AUROC 0.5 without error; a network that happens to be constant here does not."""
    p, y, who = people_of(3, people=80, signal=0.9)
    always = np.eye(3)[np.ones(80, dtype=int)]
    found = paired(p, always, y, who, 1, constant=True)["auroc_disease"]
    value, influence = auroc(-p[:, 1], y != 1)
    low, high = auroc_interval(value, int((y != 1).sum()), int((y == 1).sum()))
    assert (found.value, found.low, found.high) == pytest.approx((value - 0.5, low - 0.5, high - 0.5))
    assert found.p == pytest.approx(2 * norm.sf(abs(value - 0.5) / np.sqrt((influence**2).sum())))
    network = paired(p, always, y, who, 1)["auroc_disease"]
    assert network.low < found.low < found.high < network.high


def test_differences_are_of_patients_and_those_of_mean_aurocs_of_thirty():
    """Each row of a patient of two labels again: no more patients, so the same interval."""
    (p, y, who), (q, _, _) = people_of(3, people=36, signal=1.8), people_of(3, people=36, signal=0.2)
    assert np.isfinite(paired(p, q, y, who, 1)["auroc"].low)
    few = paired(p[:29], q[:29], y[:29], who[:29], 1)
    assert np.isnan([few["auroc"].low, few["auroc"].high, few["auroc"].p]).all()
    assert np.isfinite(few["auroc_disease"].low)
    twice = paired(*(np.repeat(part, 2, axis=0) for part in (p, q, y, who)), 1)
    once = paired(p, q, y, who, 1)
    for name in ("accuracy", "brier"):
        assert (twice[name].low, twice[name].high) == pytest.approx((once[name].low, once[name].high))


def test_the_difference_of_balanced_accuracies_is_a_t_interval_within_classes():
    """Of two classes of many equal patients: the mean difference, and √Σ s² / n / 2 beside it."""
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], 400)
    first, second = (np.eye(2)[np.where(generator.random(800) < share, y, 1 - y)] for share in (0.8, 0.7))
    row = paired(first, second, y, np.arange(800), None)["balanced_accuracy"]
    gaps = [((first.argmax(1) == y) * 1.0 - (second.argmax(1) == y))[y == k] for k in (0, 1)]
    half = 1.96 * np.sqrt(sum(gap.var(ddof=1) / 400 for gap in gaps)) / 2
    centre = np.mean([gap.mean() for gap in gaps])
    assert (row.low, row.high) == pytest.approx((centre - half, centre + half), abs=2e-4)
