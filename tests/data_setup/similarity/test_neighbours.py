import numpy as np
import pytest

from data_setup.similarity.alignment import align
from data_setup.similarity.neighbours import COMPONENTS, SIZE, find_neighbours, halves, nearest


def blobs(count, generator):
    """Ellipses with blobs that are nowhere symmetric."""
    y, x = np.mgrid[:60, :50]
    pictures = []
    for _ in range(count):
        picture = 90.0 * (((y - 30) / 26) ** 2 + ((x - 25) / 18) ** 2 < 1)
        for _ in range(6):
            cy, cx = generator.uniform(12, 48), generator.uniform(12, 38)
            picture += 40 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 20) * (picture > 0)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


def test_mirroring_changes_the_sign_of_the_odd_half():
    x = np.random.default_rng(0).normal(size=(3, 4 * 6)).astype(np.float32)
    even, odd = halves(x, (4, 6))
    mirrored_even, mirrored_odd = halves(x.reshape(3, 4, 6)[:, :, ::-1].reshape(3, -1), (4, 6))
    np.testing.assert_allclose(mirrored_even, even, atol=1e-6)
    np.testing.assert_allclose(mirrored_odd, -odd, atol=1e-6)
    np.testing.assert_allclose(even @ even.T + odd @ odd.T, x @ x.T, atol=1e-5)


def test_the_nearest_are_those_of_all_pairs_best_first():
    pictures = blobs(70, np.random.default_rng(0))
    x = align(pictures, SIZE)
    mirrored = x.reshape(-1, *SIZE)[:, :, ::-1].reshape(len(x), -1)
    plain, turned = x @ x.T, x @ mirrored.T
    similar = np.maximum(plain, turned)
    np.fill_diagonal(similar, -np.inf)
    neighbours = find_neighbours(pictures)
    assert neighbours.indices.shape == (70, 60)
    found = np.take_along_axis(similar, neighbours.indices, axis=1)
    np.testing.assert_allclose(found, -np.sort(-similar)[:, :60], atol=1e-5)
    np.testing.assert_array_equal(neighbours.mirrored, np.take_along_axis(turned > plain, neighbours.indices, axis=1))
    _, values = nearest(neighbours.even, neighbours.odd, 3)
    np.testing.assert_allclose(values, -np.sort(-similar)[:, :3], atol=1e-5)


def test_of_many_pictures_fewer_numbers_tell_nearly_the_same(monkeypatch):
    pictures = blobs(250, np.random.default_rng(1))
    exact = find_neighbours(pictures)
    monkeypatch.setattr("data_setup.similarity.neighbours.MANY", 249)
    monkeypatch.setattr("data_setup.similarity.neighbours.SAMPLE", 250)
    cut = find_neighbours(pictures)
    assert cut.even.shape == (250, COMPONENTS)
    assert (cut.indices[:, 0] == exact.indices[:, 0]).mean() > 0.97
    np.testing.assert_allclose((cut.even**2).sum(1) + (cut.odd**2).sum(1), 1, atol=0.02)


def test_a_mirrored_copy_is_the_nearest_and_mirrored():
    pictures = blobs(50, np.random.default_rng(2))
    neighbours = find_neighbours([*pictures, pictures[7][:, ::-1]])
    assert neighbours.indices[50, 0] == 7
    assert neighbours.mirrored[50, 0]
    assert neighbours.indices[7, 0] == 50


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pictures_have_as_many_neighbours_as_there_are(count):
    assert find_neighbours([np.zeros((20, 20), np.uint8)] * count).indices.shape == (count, max(count - 1, 0))
