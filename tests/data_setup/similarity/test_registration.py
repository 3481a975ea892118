import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from data_setup.similarity.registration import (
    blur,
    correlation,
    patch_correlation,
    pseudo_inverse,
    register,
    tangent_distance,
    tangents,
    warp,
)


@pytest.fixture
def pictures():
    """Three smooth pictures (3, 40, 34), dark at the border."""
    noise = np.random.default_rng(0).normal(size=(3, 40, 34))
    smooth = gaussian_filter(noise, (0, 2.5, 2.5))
    y, x = np.mgrid[:40, :34]
    return torch.from_numpy(smooth * (((y - 20) / 17) ** 2 + ((x - 17) / 14) ** 2 < 1)).float()


def test_blur_is_the_gaussian(pictures):
    np.testing.assert_allclose(blur(pictures, 1.3), gaussian_filter(pictures.numpy(), (0, 1.3, 1.3), mode="nearest"),
                               atol=1e-6)


def test_moving_goes_down_right_round_and_larger(pictures):
    down = warp(pictures, torch.tensor([[2.0, -3.0, 0.0, 0.0]]).repeat(3, 1))
    torch.testing.assert_close(down[:, 5:30, 5:25], pictures[:, 7:32, 2:22], atol=1e-5, rtol=0)
    square = pictures[:, :34, :34]
    round_and_back = warp(warp(square, torch.tensor([[0, 0, 0.15, 0]]).repeat(3, 1)),
                          torch.tensor([[0, 0, -0.15, 0]]).repeat(3, 1))
    assert (correlation(round_and_back, square) > 0.95).all()
    assert (correlation(warp(square, torch.tensor([[0, 0, 0.15, 0]]).repeat(3, 1)), square) < 0.9).all()


def test_tangents_explain_a_small_move_and_other_light_but_no_other_picture(pictures):
    soft = blur(pictures, 1.5)
    rows = tangents(soft)
    moved = 1.2 * warp(soft, torch.tensor([[0.3, -0.2, 0.02, 0.02]]).repeat(3, 1)) + 5
    others = torch.stack([moved, soft.roll(1, 0)], dim=1).flatten(2)
    left = tangent_distance(rows, pseudo_inverse(rows), others)
    assert (left[:, 0] < 0.01).all()
    assert (left[:, 1] > 0.3).all()


def test_the_move_is_found_again(pictures):
    true = torch.tensor([[1.5, -1.0, 0.05, 0.03], [-1.0, 2.0, -0.06, 0.0], [0.5, 0.5, 0.0, -0.05]])
    still = 1.3 * warp(pictures, true) + 2
    found = register(pseudo_inverse(tangents(blur(still, 1.0))), blur(pictures, 1.0), torch.zeros(3, 4), steps=8)
    torch.testing.assert_close(found[:, :2], true[:, :2], atol=0.15, rtol=0)
    torch.testing.assert_close(found[:, 2:], true[:, 2:], atol=0.01, rtol=0)


def test_one_bad_corner_is_allowed_and_half_a_bad_picture_is_not(pictures):
    inside = blur((pictures != 0).float(), 1.0) > 0.9
    noise = 0.2 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    corner, half = pictures + 0.01 * noise, pictures + 0.01 * noise
    corner[:, :14, :16] = noise[:, :14, :16]
    half[:, :24] = noise[:, :24]
    assert (patch_correlation(corner, 3 * pictures + 1, inside) > 0.5).all()
    assert (patch_correlation(half, pictures, inside) < 0.5).all()
    assert (patch_correlation(pictures, pictures, torch.zeros_like(inside)) == 0).all()
