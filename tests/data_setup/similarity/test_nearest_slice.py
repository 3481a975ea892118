import numpy as np

from data_setup.audit.leakage_effect import leakage_effect
from data_setup.similarity.nearest_slice import nearest_labels
from data_setup.similarity.neighbours import find_neighbours


def test_a_copy_is_found_and_a_stranger_is_asked_where_it_is_forbidden():
    """Ten people of their own texture, two slices each that are nearly one picture; neighbours in class alternate."""
    generator = np.random.default_rng(0)
    images, people, labels = [], np.repeat(np.arange(10), 2), np.repeat(np.arange(10) % 2, 2)
    y, x = np.mgrid[:40, :32]
    brain = ((y - 20) / 16) ** 2 + ((x - 16) / 12) ** 2 < 1
    for _ in range(10):
        texture = np.kron(generator.integers(80, 250, (10, 8)), np.ones((4, 4)))
        images += [np.where(brain, np.clip(texture + generator.normal(0, 3, (40, 32)), 0, 255), 0).astype(np.uint8)
                   for _ in range(2)]
    test = np.arange(20) % 2 == 1
    split, strangers = nearest_labels(find_neighbours(images), labels, people, test)
    assert (split == labels[test]).all()
    worth = leakage_effect(find_neighbours(images), labels, people, test)
    assert worth.as_split[0] == 1
    assert worth.other_patients[0] == (strangers == labels[test]).mean() < 1


def test_with_nobody_to_compare_with_there_is_no_answer():
    images = [np.zeros((9, 9), np.uint8)] * 4
    neighbours, labels = find_neighbours(images), np.zeros(4, int)
    assert nearest_labels(neighbours, labels, np.zeros(4, int), np.array([0, 0, 1, 1], bool)) is None
    assert nearest_labels(neighbours, labels, np.arange(4), np.zeros(4, bool)) is None
