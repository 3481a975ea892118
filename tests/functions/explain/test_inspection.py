import pytest
import torch
from torch.nn import functional as F

from functions.explain.attention import attention_layers, record_attention
from functions.explain.inspection import (
    attention_distance,
    embedding_filters,
    patch_distances,
    position_similarity,
    principal_filters,
)
from tests.functions.explain.conftest import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_filters_act_on_pixels(kind, make):
    shape = {"torchvision": (12, 3, 4, 4), "hybrid": (32, 1, 7, 7)}.get(kind, (12, 1, 4, 4))
    assert embedding_filters(make(kind)).shape == shape


def test_principal_components_rebuild_the_filters(make):
    """12 centred filters have rank 11; components are orthonormal and in order of variance, the largest value positive.
    """
    model = make("ours")
    components, shares = principal_filters(model)
    assert components.shape == (11, 1, 4, 4)
    flat, filters = components.flatten(1), embedding_filters(model).flatten(1)
    centred = filters - filters.mean(0)
    torch.testing.assert_close(flat @ flat.T, torch.eye(11), atol=1e-5, rtol=0)
    torch.testing.assert_close(centred @ flat.T @ flat, centred, atol=1e-5, rtol=0)
    assert (shares.diff() <= 0).all()
    torch.testing.assert_close(((centred @ flat.T) ** 2).sum(0) / (centred**2).sum(), shares)
    assert (flat.max(1).values == flat.abs().max(1).values).all()
    assert len(principal_filters(model, 3)[0]) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_position_similarity_is_that_of_every_pair(kind, make, grid):
    model, (rows, columns) = make(kind), grid(kind)
    found = position_similarity(model)
    assert found.shape == (rows, columns, rows, columns)
    [positions] = [p for name, p in model.named_parameters() if name.endswith(("positions", "pos_embedding"))]
    expected = F.cosine_similarity(positions[0, 1 + 1 * columns + 0], positions[0, 1 + 0 * columns + 2], dim=0)
    torch.testing.assert_close(found[1, 0, 0, 2], expected.detach())
    torch.testing.assert_close(found.diagonal(dim1=0, dim2=2).diagonal(dim1=0, dim2=1), torch.ones(rows, columns))


def test_distances_are_in_pixels(make):
    """A 2×3 grid of patches of 4×4 pixels."""
    found = patch_distances(make("ours"))
    assert found[0].tolist() == pytest.approx([0, 4, 8, 4, 32**0.5, 80**0.5])
    assert found[2, 3] == pytest.approx(80**0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_distance_is_the_weighted_mean(kind, make, pictures):
    """Head by head against loops; images beyond a batch count too."""
    model, images, layers = make(kind), pictures(kind, 5), {}
    with record_attention(model, layers.__setitem__):
        model(images)
    found, distances = attention_distance(model, images, batch_size=2), patch_distances(model)
    assert found.shape == (3, 2)
    for layer, head in ((0, 1), (2, 0)):
        each = []
        for a in layers[layer][:, head, 1:, 1:]:
            each += [float((row * d).sum() / row.sum()) for row, d in zip(a, distances, strict=True)]
        assert float(found[layer, head]) == pytest.approx(sum(each) / len(each), rel=1e-4)


def test_uniform_attention_has_the_mean_distance_of_all_pairs(make, pictures):
    model = make("ours")
    with torch.no_grad():
        for layer in attention_layers(model):
            layer.in_proj_weight[:12] = 0
            layer.in_proj_bias[:12] = 0
    expected = patch_distances(model).mean().expand(3, 2)
    torch.testing.assert_close(attention_distance(model, pictures("ours")), expected)
