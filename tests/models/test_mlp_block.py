import math

import pytest
import torch
from torch import nn

from models import MLPBlock, ViTConfig, build


@pytest.fixture
def block(config, randomise):
    return randomise(MLPBlock(config)).double()


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def gelu_tanh(x):
    return x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def gelu_quick(x):
    return x / (1 + torch.exp(-1.702 * x))


@pytest.mark.parametrize(("form", "activation"), [("none", gelu), ("tanh", gelu_tanh), ("quick", gelu_quick)])
def test_equals_the_papers_equation(config, randomise, form, activation):
    block = randomise(MLPBlock(ViTConfig(**{**vars(config), "gelu": form}))).double()
    first, second = block.mlp[0], block.mlp[3]
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    x = (z - z.mean(-1, keepdim=True)) / torch.sqrt(z.var(-1, unbiased=False, keepdim=True) + 1e-6)
    x = x * block.norm.weight + block.norm.bias
    expected = activation(x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(block(z), expected, rtol=1e-12, atol=1e-12)


def test_tokens_do_not_see_each_other(block):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    torch.testing.assert_close(block(z)[:, 3:4], block(z[:, 3:4]))


def test_dropout_follows_both_dense_layers(config):
    block = MLPBlock(ViTConfig(**{**vars(config), "dropout": 0.5}))
    dense = [i for i, layer in enumerate(block.mlp) if isinstance(layer, nn.Linear)]
    dropped = [i for i, layer in enumerate(block.mlp) if isinstance(layer, nn.Dropout) and layer.p == 0.5]
    assert len(dense) == len(dropped) == 2
    assert dense[0] < dropped[0] < dense[1] < dropped[1]


def test_initial_values_are_the_authors():
    torch.manual_seed(0)
    mlp = build("vit_b_16", num_layers=1).encoder[0].mlp_block.mlp
    bound = math.sqrt(6 / (768 + 3072))
    for layer in (mlp[0], mlp[3]):
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.005)
        assert layer.bias.std().item() == pytest.approx(1e-6, rel=0.1)


def test_norm_epsilon_is_the_configured_one(config):
    assert MLPBlock(config).norm.eps == 1e-6
    assert MLPBlock(ViTConfig(norm_eps=1e-12)).norm.eps == 1e-12
