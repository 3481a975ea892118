import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from functions.prediction.novelty import FALSE_ALARMS, SHRINKAGE, fit_novelty


@pytest.fixture
def normal():
    """Correlated features of one distribution."""
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(6, 6))
    return lambda count: generator.normal(size=(count, 6)) @ mixing + 3


def test_the_distance_is_mahalanobis(normal):
    train, new = normal(200), normal(4)
    covariance = np.cov(train.T, bias=True)
    covariance += SHRINKAGE * np.trace(covariance) / 6 * np.eye(6)
    expected = [mahalanobis(row, train.mean(axis=0), np.linalg.inv(covariance)) for row in new]
    np.testing.assert_allclose(fit_novelty(train, new).distances(new), expected)


def test_false_alarms_are_as_stated_and_others_are_found(normal):
    fitted = [fit_novelty(normal(500), normal(100)) for _ in range(200)]
    alarms = np.mean([(novelty.ratios(normal(200)) > 1).mean() for novelty in fitted])
    assert FALSE_ALARMS - 0.02 < alarms < FALSE_ALARMS + 0.01
    strange = np.random.default_rng(1).normal(size=(50, 6)) * 30
    assert (fitted[0].ratios(strange) > 1).mean() > 0.9


def test_the_threshold_is_a_quantile_of_validation_not_of_training(normal):
    """Validation slices are of other patients, and farther from the training slices than these from their own mean."""
    train, val = normal(300), 2 * normal(59)
    novelty = fit_novelty(train, val)
    assert novelty.threshold == np.sort(novelty.distances(val))[56]                  # ⌈60 · 0.95⌉ = 57th of 59
    assert novelty.threshold > 1.2 * np.quantile(novelty.distances(train), 0.95)
    assert fit_novelty(train, val[:9]).threshold == novelty.distances(val[:9]).max()


def test_few_slices_and_features_without_variance(normal):
    few = np.c_[normal(3), np.zeros((3, 20))]                         # 26 features of three slices
    novelty = fit_novelty(few, few[:2])
    assert np.isfinite(novelty.ratios(few)).all()
    assert novelty.ratios(few + 10).min() > 1
    assert fit_novelty(few, few[:0]).ratios(few) is None
    assert np.isfinite(fit_novelty(np.ones((4, 2)), np.ones((2, 2))).ratios(np.ones((1, 2)))).all()
