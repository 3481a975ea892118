import numpy as np
import pytest
from PIL import Image

from data_setup.similarity.alignment import Axes, align, find_axes

SIZE = (52, 44)


def brain(height=120, width=100, long=42, short=28, seed=0):
    """An ellipse with blobs in it that are nowhere symmetric."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    y, x = y - height / 2, x - width / 2
    picture = 110.0 * ((y / long) ** 2 + (x / short) ** 2 < 1)
    for _ in range(6):
        r, turn = generator.uniform(0.2, 0.7), generator.uniform(0, 2 * np.pi)
        picture += 60 * np.exp(-((y - r * long * np.sin(turn)) ** 2 + (x - r * short * np.cos(turn)) ** 2) / 30)
    return np.clip(picture, 0, 255).astype(np.uint8)


def same(a, b):
    x = align([a, b, *(brain(seed=k) for k in range(5, 9))], SIZE)
    return float(x[0] @ x[1])


@pytest.mark.parametrize("degrees", [-15, -4, 8, 15])
def test_a_turned_brain_comes_back(degrees):
    picture = brain()
    turned = np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR))
    assert same(picture, turned) > 0.99
    assert same(picture, brain(seed=1)) < 0.985


def test_a_shifted_larger_or_relit_brain_comes_back():
    picture = brain()
    assert same(picture, np.roll(picture, (8, -9), axis=(0, 1))) > 0.999
    assert same(picture, np.asarray(Image.fromarray(picture).resize((150, 180)))) > 0.99
    assert same(picture, (picture * 0.6 + 30).astype(np.uint8)) > 0.99


def test_the_axes_are_those_of_the_ellipse():
    axes = Axes(*(float(values[0]) for values in find_axes([brain()])))
    assert (axes.y, axes.x) == pytest.approx((60, 50), abs=1)
    assert axes.area == pytest.approx(np.pi * 42 * 28, rel=0.03)
    assert abs(axes.angle) < 0.02
    assert axes.elongation == pytest.approx((42 / 28) ** 2, rel=0.05)


def test_round_brains_are_not_turned():
    """Squeezed to a square, a brain has no main axis: its moments would turn each slice by chance."""
    round_ones = [brain(long=36, short=35, seed=k) for k in range(6)]
    picture = round_ones[0]
    turned = np.asarray(Image.fromarray(picture).rotate(15, Image.Resampling.BILINEAR))
    x = align([picture, turned, *round_ones[1:]], SIZE)
    y, centred = align([picture, *round_ones[1:]], SIZE), align([picture], SIZE)
    assert x[0] @ x[1] < 0.99
    np.testing.assert_allclose(y[0], centred[0], atol=1e-6)


def test_a_picture_without_a_brain_is_zeros_and_the_others_are_of_norm_one():
    x = align([np.zeros((30, 40), np.uint8), brain(), np.full((20, 20), 200, np.uint8)], SIZE)
    assert not x[0].any()
    assert not x[2].any()
    assert np.linalg.norm(x[1]) == pytest.approx(1, abs=1e-5)
    assert x[1].sum() == pytest.approx(0, abs=1e-3)
