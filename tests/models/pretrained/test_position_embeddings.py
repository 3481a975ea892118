import numpy as np
import pytest
import torch
from scipy import ndimage

from models.pretrained.position_embeddings import resize_positions

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
