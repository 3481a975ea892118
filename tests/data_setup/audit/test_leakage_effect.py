import numpy as np
import pytest

from data_setup.audit.leakage_effect import leakage_effect as measure
from data_setup.similarity.neighbours import find_neighbours


def leakage_effect(pictures, *others):
    return measure(find_neighbours(pictures), *others)


def brains(people, slices, generator, spread=25):
    """Each person an ellipse with blobs of its own; slices of one person are nearly alike."""
    y, x = np.mgrid[:60, :50]
    pictures = []
    for _ in range(people):
        base = 100.0 * (((y - 30) / 26) ** 2 + ((x - 25) / 18) ** 2 < 1)
        for _ in range(5):
            cy, cx = generator.uniform(12, 48), generator.uniform(12, 38)
            base += spread * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 20)
        pictures += [np.clip(base + generator.normal(0, 2, base.shape) * (base > 0), 0, 255).astype(np.uint8)
                     for _ in range(slices)]
    return pictures, np.repeat(np.arange(people), slices)


def test_where_labels_mean_nothing_the_leak_is_the_whole_score():
    """Labels drawn for people: a split of slices scores near 100 %, without the patient's own about chance."""
    generator = np.random.default_rng(0)
    pictures, people = brains(30, 6, generator)
    labels = generator.integers(0, 2, 30)[people]
    test = np.tile(np.arange(6) >= 4, 30)
    effect = leakage_effect(pictures, labels, people, test)
    assert effect.as_split[0] > 0.97
    assert 0.25 < effect.other_patients[0] < 0.75
    assert effect.gap[0] == pytest.approx(effect.as_split[0] - effect.other_patients[0])
    assert effect.gap[1] > 0.1
    assert effect.patients == 30


def test_with_patients_apart_nothing_changes():
    generator = np.random.default_rng(1)
    pictures, people = brains(34, 4, generator)
    labels = (people % 2).astype(int)
    worth = leakage_effect(pictures, labels, people, people >= 14)
    assert worth.gap == (0, 0, 0)
    assert worth.as_split == worth.other_patients
    assert worth.patients == 20


def test_intervals_are_over_patients_not_slices():
    """Copies of every slice say nothing new: the interval stays as wide."""
    generator = np.random.default_rng(2)
    pictures, people = brains(34, 2, generator)
    labels, test = generator.integers(0, 2, 34)[people], people >= 12
    few = leakage_effect(pictures, labels, people, test)
    many = leakage_effect(pictures * 3, np.tile(labels, 3), np.tile(people, 3), np.tile(test, 3))
    assert many.as_split[2] - many.as_split[1] == pytest.approx(few.as_split[2] - few.as_split[1], abs=0.02)


def test_nobody_to_compare_with():
    pictures, people = brains(3, 2, np.random.default_rng(0))
    assert leakage_effect(pictures, people, people, np.zeros(6, bool)) is None
    assert leakage_effect(pictures, people, np.zeros(6, int), people > 0) is None
