import pytest
import torch

from functions.explain.attention import attention_layers, record_attention
from functions.explain.rollout import rollout
from tests.functions.explain.conftest import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_product_of_all_layers(kind, make, pictures):
    """Abnar and Zuidema's formula in plain tensors on all layers at once; every row sums to 1. Two chunks of images."""
    model, images, layers = make(kind), pictures(kind, 34), {}
    with torch.no_grad(), record_attention(model, lambda i, a: layers.setdefault(i, []).append(a)):
        model(images)
    a = torch.stack([torch.cat(layers[i]).mean(dim=1) for i in range(3)]).double()
    residual = 0.5 * a + 0.5 * torch.eye(a.shape[-1])
    expected = residual[2] @ residual[1] @ residual[0]
    found = rollout(model, images)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))
    assert (expected - residual[0] @ residual[1] @ residual[2]).abs().max() > 1e-3, "the order must be visible"


@pytest.mark.parametrize("kind", KINDS)
def test_of_uniform_attention_is_uniform(kind, make, pictures):
    """With zero queries every A is 1/(N + 1); the rollout's off-diagonal entries are then all equal, in closed form."""
    model = make(kind)
    with torch.no_grad():
        for layer in attention_layers(model):
            layer.in_proj_weight[:12] = 0
            layer.in_proj_bias[:12] = 0
    found = rollout(model, pictures(kind))
    tokens = found.shape[-1]
    expected = (1 - 0.5**3) / tokens + 0.5**3 * torch.eye(tokens)
    torch.testing.assert_close(found, expected.expand_as(found))


def test_autocast_does_not_round_the_product(make, pictures):
    model, images = make("ours"), pictures("ours")
    with torch.autocast("cpu", torch.bfloat16):
        found = rollout(model, images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 7), atol=1e-6, rtol=0)
