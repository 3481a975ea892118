import math
from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from models import MSABlock, ViTConfig, build


@pytest.fixture
def block(config, randomise):
    return randomise(MSABlock(config)).double()


def attend(block, z, num_heads):
    """Eq. 5–8 of Appendix A in plain tensors, head by head; returns MSA(LN(z)) and each head's attention weights."""
    norm, attention = block.norm, block.attention
    x = (z - z.mean(-1, keepdim=True)) / torch.sqrt(z.var(-1, unbiased=False, keepdim=True) + 1e-6)
    x = x * norm.weight + norm.bias
    q, k, v = (x @ attention.in_proj_weight.T + attention.in_proj_bias).split(z.shape[-1], dim=-1)
    head_dim = z.shape[-1] // num_heads
    heads, weights = [], []
    for h in range(num_heads):
        columns = slice(h * head_dim, (h + 1) * head_dim)
        scores = torch.exp(q[..., columns] @ k[..., columns].transpose(1, 2) / math.sqrt(head_dim))
        weights.append(scores / scores.sum(dim=-1, keepdim=True))
        heads.append(weights[-1] @ v[..., columns])
    attended = torch.cat(heads, dim=-1) @ attention.out_proj.weight.T + attention.out_proj.bias
    return attended, torch.stack(weights, dim=1)


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_papers_equations(block, training):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    expected, weights = attend(block, z, num_heads=3)
    torch.testing.assert_close(block.train(training)(z), expected)
    torch.testing.assert_close(block.attention.attention_weights(block.norm(z)), weights)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 7, dtype=torch.float64))


def test_equals_the_attention_half_of_torchs_encoder_layer(block):
    """nn.TransformerEncoderLayer(norm_first=True) with its own MLP silenced is Eq. 2."""
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True, norm_first=True, layer_norm_eps=1e-6,
                                       dtype=torch.float64)
    layer.norm1.load_state_dict(block.norm.state_dict())
    layer.self_attn.load_state_dict(block.attention.state_dict())
    nn.init.zeros_(layer.linear2.weight)
    nn.init.zeros_(layer.linear2.bias)
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    torch.testing.assert_close(block(z) + z, layer(z))


def test_does_not_care_in_which_order_tokens_come(block):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    order = torch.randperm(7)
    torch.testing.assert_close(block(z[:, order]), block(z)[:, order])


def test_is_torchs_multihead_attention_on_the_same_parameters(block):
    """The keys of its state_dict are nn.MultiheadAttention's, and a hook on it sees what goes in and comes out."""
    torchs = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    torchs.load_state_dict(block.attention.state_dict())
    z, seen = torch.randn(2, 7, 12, dtype=torch.float64), []
    block.attention.register_forward_hook(lambda module, given, out: seen.append((given[0], out)))
    torch.testing.assert_close(block(z), torchs(*[block.norm(z)] * 3)[0])
    torch.testing.assert_close(seen[0], (block.norm(z), block(z)))


def test_the_first_tokens_alone_attend_to_all(block):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    torch.testing.assert_close(block(z, tokens=3), block(z)[:, :3])


class ShapesMade(TorchDispatchMode):
    """Notes the shape of every tensor any operation gives back."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.shapes.add(tuple(tensor.shape))
        return out


def test_attention_weights_are_never_formed_while_training():
    """No tensor with two sides of 37 tokens may appear, forward or backward: at 384 px they are most of the memory."""
    block = MSABlock(ViTConfig(image_size=(24, 24), patch_size=4, embedding_dim=12, num_heads=3)).train()
    z = torch.randn(2, 37, 12, requires_grad=True)
    with ShapesMade() as made:
        block(z).sum().backward()
    assert any(37 in shape for shape in made.shapes)
    assert not [shape for shape in made.shapes if shape.count(37) > 1]
    with ShapesMade() as made:
        block.attention.attention_weights(z)
    assert [shape for shape in made.shapes if shape.count(37) > 1], "the check itself must be able to see them"


class Operations(TorchDispatchMode):
    """Counts every operation by its name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tensor_is_copied_on_the_way(config, dtype):
    """q, k and v are views of one product; on the way back their gradients are laid side by side once, and that is all.

    nn.MultiheadAttention's own forward and backward copy nine times, which the check must be able to see.
    """
    block = MSABlock(config).to(dtype)
    z = torch.randn(2, 7, 12, dtype=dtype, requires_grad=True)
    with Operations() as ours:
        block(z).sum().backward()
    with Operations() as torchs:
        nn.MultiheadAttention(12, 3, batch_first=True, dtype=dtype)(z, z, z, need_weights=False)[0].sum().backward()
    copies = ("clone", "copy_", "_to_copy", "contiguous", "cat")
    assert {name: ours.counts[name] for name in copies if ours.counts[name]} == {"cat": 1}
    assert sum(torchs.counts[name] for name in copies) > 5


def test_dropout_follows_the_output_projection_only(config, randomise):
    block = randomise(MSABlock(ViTConfig(**{**vars(config), "dropout": 0.5})))
    z = torch.randn(2, 7, 12)
    silent, live = block.eval()(z), block.train()(z)
    kept = live.abs() > 1e-6
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(live[kept], 2 * silent[kept], rtol=1e-3, atol=1e-5)
    assert block.attention.dropout == 0


def test_initial_values_are_the_authors():
    """Each of q, k, v and out is Xavier-uniform on its own D×D: bound √(6/2D), σ = bound/√3."""
    torch.manual_seed(0)
    attention = build("vit_b_16", num_layers=1).encoder[0].msa_block.attention
    bound = math.sqrt(6 / (2 * 768))
    for weight in (*attention.in_proj_weight.chunk(3), attention.out_proj.weight):
        assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.005)
        assert abs(weight.mean().item()) < 2e-4
    assert (attention.in_proj_bias == 0).all()
    assert (attention.out_proj.bias == 0).all()


def test_norm_epsilon_is_the_configured_one(config):
    """1e-6, not LayerNorm's own 1e-5: too small to show in an output, so asserted by value, and felt on tiny inputs."""
    block = MSABlock(config)
    assert block.norm.eps == 1e-6
    assert MSABlock(ViTConfig(norm_eps=1e-12)).norm.eps == 1e-12
