from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from functions.evaluation.linear_probe import PENALTIES, least_squares_probe


def made(n, seed, views=1, noise=1.0, num_classes=3, width=7):
    """Features whose class shows in their first axes, of unlike scales."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (n,), generator=generator)
    features = noise * torch.randn(n, views, width, generator=generator)
    features[torch.arange(n), :, labels] += 2.0
    return SimpleNamespace(features=features * torch.linspace(0.1, 9, width) + 3, labels=labels)


def test_the_closed_form_is_ridge_regression_on_standardised_features():
    train, val, test = made(60, 0), made(30, 1), made(11, 2)
    probe = least_squares_probe(train, val, test, 3)
    assert probe.penalty in PENALTIES
    x = train.features[:, 0].double().numpy()
    scale = StandardScaler().fit(x)
    y = 2.0 * np.eye(3)[train.labels] - 1
    def design(data):
        return np.hstack([scale.transform(data.features[:, 0].double().numpy()), np.full((len(data.labels), 1), 100.0)])

    ridge = Ridge(alpha=probe.penalty, fit_intercept=False).fit(design(train), y)
    scores = ridge.predict(design(test))
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.probabilities, expected, atol=1e-4)


def test_the_bias_is_all_but_unpenalised():
    """Of unequal classes under a strong penalty the outputs are the classes' shares, as of an unpenalised intercept;
    with a penalised one they would go to equal shares.
    """
    train, val, test = made(90, 0, noise=50.0), made(60, 1, noise=50.0), made(200, 2, noise=50.0)
    for data, rare in ((train, 9), (val, 6)):
        data.labels[:] = torch.arange(len(data.labels)) // rare == 0
    probe = least_squares_probe(train, val, test, 2)
    x = train.features[:, 0].double().numpy()
    scale = StandardScaler().fit(x)
    ridge = Ridge(alpha=probe.penalty).fit(scale.transform(x), 2.0 * np.eye(2)[train.labels] - 1)
    scores = ridge.predict(scale.transform(test.features[:, 0].double().numpy()))
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probe.probabilities, expected, atol=0.01)
    assert probe.penalty > 100
    assert (probe.probabilities.argmax(1) == 0).mean() > 0.9


def test_the_penalty_is_the_one_that_validation_likes_best():
    """With labels that have nothing to do with the features only the strongest penalty does not hurt."""
    train, val, test = made(40, 0, width=30), made(40, 1, width=30), made(5, 2, width=30)
    clear = least_squares_probe(train, val, test, 3).penalty
    generator = torch.Generator().manual_seed(3)
    for data in (train, val):
        data.labels = torch.randint(0, 3, (40,), generator=generator)
    assert least_squares_probe(train, val, test, 3).penalty > clear


def test_it_finds_what_is_there_and_uses_every_view():
    train, val, test = made(90, 0, views=4, noise=1.5), made(60, 1, noise=1.5), made(200, 2, noise=1.5)
    many = least_squares_probe(train, val, test, 3).probabilities
    assert (many.argmax(1) == test.labels.numpy()).mean() > 0.6
    one = SimpleNamespace(features=train.features[:, :1], labels=train.labels)
    assert not np.allclose(many, least_squares_probe(one, val, test, 3).probabilities)
    assert many.sum(axis=1) == pytest.approx(1)


def test_the_fit_knows_nothing_of_test():
    """A test slice's probabilities are the same whatever stands beside it, however far off and whatever its label."""
    train, val, test = made(60, 0), made(30, 1), made(11, 2)
    whole = least_squares_probe(train, val, test, 3)
    for row in (0, 7):
        alone = SimpleNamespace(features=test.features[[row]], labels=test.labels[[row]])
        far = SimpleNamespace(features=torch.cat([test.features[[row]], 100 + 7 * test.features]),
                              labels=torch.zeros(12, dtype=torch.long))
        for other in (alone, far):
            found = least_squares_probe(train, val, other, 3)
            np.testing.assert_allclose(found.probabilities[0], whole.probabilities[row], atol=1e-12)
            assert found.penalty == whole.penalty


def test_validation_chooses_the_penalty_and_nothing_else():
    """Other validation slices that choose the same penalty leave every probability as it was."""
    train, test = made(60, 0), made(11, 2)
    by_penalty = {}
    for seed in range(1, 12):
        probe = least_squares_probe(train, made(30, seed), test, 3)
        by_penalty.setdefault(probe.penalty, []).append(probe.probabilities)
    assert max(map(len, by_penalty.values())) > 1
    for first, *others in by_penalty.values():
        for other in others:
            np.testing.assert_array_equal(first, other)
    firsts = [found[0] for found in by_penalty.values()]
    assert len(firsts) > 1
    assert not np.allclose(firsts[0], firsts[1])


def test_the_penalties_are_big_visions():
    """2^-10 … 2^20: features that say nothing need the far end of it."""
    assert PENALTIES.tolist() == [2.0**power for power in range(-10, 21)]
    train, val = made(40, 0, width=30), made(40, 1, width=30)
    generator = torch.Generator().manual_seed(3)
    for data in (train, val):
        data.labels = torch.randint(0, 3, (40,), generator=generator)
    assert least_squares_probe(train, val, made(5, 2, width=30), 3).penalty > 64


def test_a_constant_feature_does_no_harm():
    train, val, test = made(60, 0), made(30, 1), made(11, 2)
    for data in (train, val, test):
        data.features[..., 4] = 5.0
    assert np.isfinite(least_squares_probe(train, val, test, 3).probabilities).all()
