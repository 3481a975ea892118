import numpy as np
import pytest
import torch
from scipy import ndimage

from functions.runtime.errors import UserError
from models.pretrained.position_embeddings import resize_positions, stated_grid, with_class_row

GRIDS = [((7, 7), (12, 12)), ((6, 6), (4, 4)), ((14, 14), (24, 24))]


def positions(grid, width=5):
    return torch.randn(1, grid[0] * grid[1] + 1, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("old", "new"), [*GRIDS, ((7, 7), (5, 9)), ((4, 6), (8, 3))])
def test_the_authors_way_is_scipys_zoom(old, new):
    """vit_jax/checkpoint.py: scipy.ndimage.zoom(order=1) over rows and columns."""
    given = positions(old)
    grid = given[0, 1:].reshape(*old, -1).numpy()
    zoomed = ndimage.zoom(grid, (new[0] / old[0], new[1] / old[1], 1), order=1)
    ours = resize_positions(given, old, new, "jax")
    np.testing.assert_allclose(ours[0, 1:].reshape(*new, -1), zoomed, atol=1e-5)
    assert torch.equal(ours[:, 0], given[:, 0]), "the class token's position stays"


@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_torchvisions_way(old, new):
    from torchvision.models.vision_transformer import interpolate_embeddings

    given = positions(old)
    theirs = interpolate_embeddings(new[0] * 4, 4, {"encoder.pos_embedding": given.clone()})["encoder.pos_embedding"]
    torch.testing.assert_close(resize_positions(given, old, new, "torchvision"), theirs)


@pytest.mark.parametrize(("old", "new"), [*GRIDS, ((7, 7), (5, 9))])
def test_timms_way(old, new):
    from timm.layers import resample_abs_pos_embed

    given = positions(old)
    theirs = resample_abs_pos_embed(given, new, old)
    torch.testing.assert_close(resize_positions(given, old, new, "timm"), theirs)


@pytest.mark.parametrize(("old", "new"), [*GRIDS, ((7, 7), (5, 9))])
def test_hugging_faces_way(old, new):
    from transformers import ViTConfig, ViTModel

    given = positions(old, width=12)
    net = ViTModel(ViTConfig(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=20,
                             image_size=(old[0] * 4, old[1] * 4), patch_size=4))
    with torch.no_grad():
        net.embeddings.position_embeddings.copy_(given)
        tokens = torch.zeros(1, new[0] * new[1] + 1, 12)
        theirs = net.embeddings.interpolate_pos_encoding(tokens, new[0] * 4, new[1] * 4)
    torch.testing.assert_close(resize_positions(given, old, new, "huggingface"), theirs)


def test_the_four_ways_differ_and_the_same_grid_is_left_alone():
    given = positions((7, 7))
    made = [resize_positions(given, (7, 7), (12, 12), mode) for mode in ("jax", "torchvision", "timm", "huggingface")]
    for i in range(4):
        for j in range(i):
            assert (made[i] - made[j]).abs().max() > 0.01
    assert resize_positions(given, (7, 7), (7, 7), "jax") is given


def test_a_grid_that_is_not_theirs_is_refused():
    with pytest.raises(ValueError, match="49 positions are not a grid of 6x8"):
        resize_positions(positions((7, 7)), (6, 8), (3, 3), "jax")


@pytest.mark.parametrize(("count", "stated", "wanted", "alone", "expected"), [
    (10, None, (5, 7), False, ((3, 3), False)),
    (16, None, (3, 5), False, ((3, 5), False)),             # 1 + 3x5, not 4x4
    (16, None, (3, 5), True, ((3, 5), False)),
    (16, None, (2, 2), True, ((4, 4), True)),
    (16, (4, 4), (3, 5), False, ((4, 4), True)),
    (16, (5, 3), (3, 5), True, ((5, 3), False)),
    (15, None, (3, 5), True, ((3, 5), True))])
def test_positions_of_patches_alone_get_a_row_of_zeros(count, stated, wanted, alone, expected):
    given = torch.randn(1, count, 3)
    made, grid = with_class_row(given, stated, wanted, alone)
    assert (grid, len(made[0]) == count + 1) == expected
    assert torch.equal(made[:, -count:], given)
    assert not expected[1] or not made[0, 0].any()


def test_what_can_be_two_grids_is_not_guessed():
    with pytest.raises(UserError, match="15, is not a square .*; the 16 may be a grid of 4x4 without one"):
        with_class_row(torch.randn(1, 16, 3), None, (2, 2))


def test_a_configurations_image_size_is_that_of_the_positions():
    assert stated_grid(None, 4, 10, "huggingface") is None
    assert stated_grid((8, 20), 4, 11, "huggingface") == (2, 5)
    assert stated_grid((8, 20), 4, 10, "timm") == (2, 5)
    assert stated_grid((8, 20), 4, 26, "timm") is None, "timm's input_size is not always that of the positions"
    for count in (10, 26):
        with pytest.raises(UserError, match=f"images of 8x20, which are 10 patches .* for {count - 1}"):
            stated_grid((8, 20), 4, count, "huggingface")
