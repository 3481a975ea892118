import numpy as np
import pytest
import torch

from functions.explain.overlay import DIMMED, gray_levels, overlay, overlay_figure, upsample


@pytest.mark.parametrize("smooth", [True, False])
def test_each_patch_is_coloured_where_it_is(smooth):
    """A 2×3 grid on an image of 8×15 pixels (patches of 4×5): colour is strongest within the lit patch alone."""
    image = torch.zeros(1, 8, 15)
    for r, c in np.ndindex(2, 3):
        shares = torch.zeros(2, 3)
        shares[r, c] = 1
        pixels = overlay(image, shares, smooth)
        assert pixels.shape == (8, 15, 3)
        assert pixels.dtype == np.uint8
        rows, columns = np.nonzero(pixels.sum(2) == pixels.sum(2).max())
        assert set(rows // 4) == {r}
        assert set(columns // 5) == {c}
        coloured = (pixels.sum(2) > 0).sum()
        assert coloured > 20 if smooth else coloured == 20


def test_smoothing_keeps_the_centres_of_patches():
    """Bilinear between centres: with patches of 3×5 pixels the middle pixel of each has exactly the patch's value."""
    shares = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(upsample(shares, (9, 20))[1::3, 2::5], shares)
    torch.testing.assert_close(upsample(shares, (9, 20), smooth=False)[::3, 4::5], shares)


def test_without_attention_the_image_is_only_dimmed():
    image = torch.rand(3, 8, 15)
    expected = np.round(255 * DIMMED * gray_levels(image)).astype(np.uint8)
    assert (overlay(image, torch.zeros(2, 3)) == expected).all()
    shares = torch.tensor([[0.0, 0, 0], [0, 0, 1]])
    assert (overlay(image, shares, smooth=False)[:4] == expected[:4]).all()
    assert (overlay(image, shares, smooth=False)[4:, 10:] != expected[4:, 10:]).any()


def test_normalised_images_are_shown_from_darkest_to_brightest():
    image = torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]])
    assert gray_levels(image)[..., 0].tolist() == [[0, 0.5], [0.75, 1]]
    assert gray_levels(torch.full((1, 2, 2), 3.0)).max() == 0


def test_a_common_scale_makes_maps_comparable():
    image, shares = torch.zeros(1, 8, 15), torch.full((2, 3), 1 / 6)
    assert overlay(image, shares, largest=1.0).max() < overlay(image, shares).min()


def test_the_figure_has_the_caption_and_the_caveat(tmp_path):
    figure = overlay_figure(torch.rand(1, 8, 15), torch.rand(2, 3), "MildDemented 87% $rollout",
                            "fails the deletion test")
    [axis] = figure.axes
    [bar] = axis.child_axes
    texts = [axis.get_xlabel(), *(text.get_text() for text in axis.texts)]
    assert texts == ["MildDemented 87% $rollout", "fails the deletion test"]
    assert bar.get_ylabel() == "share of one patch"
    figure.savefig(tmp_path / "overlay.png")
    assert overlay_figure(torch.rand(1, 8, 15), torch.zeros(2, 3), colour_bar=False).axes[0].child_axes == []
