import pytest
import torch
from torch import nn

from models import TransformerEncoder, TransformerEncoderBlock


@pytest.fixture
def block(config, randomise):
    return randomise(TransformerEncoderBlock(config)).double()


def torchs_layer(block):
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True,
                                       layer_norm_eps=1e-6, dtype=torch.float64)
    layer.norm1.load_state_dict(block.msa_block.norm.state_dict())
    layer.self_attn.load_state_dict(block.msa_block.attention.state_dict())
    layer.norm2.load_state_dict(block.mlp_block.norm.state_dict())
    layer.linear1.load_state_dict(block.mlp_block.mlp[0].state_dict())
    layer.linear2.load_state_dict(block.mlp_block.mlp[3].state_dict())
    return layer


@pytest.mark.parametrize("training", [True, False])
def test_equals_torchs_pre_norm_encoder_layer(block, training):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    torch.testing.assert_close(block.train(training)(z), torchs_layer(block).train(training)(z))


def test_differs_from_post_norm(block):
    """The comparison above has teeth: the 2017 order of norm and residual is another function."""
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    layer = torchs_layer(block)
    layer.norm_first = False
    assert (block(z) - layer(z)).abs().max() > 0.1


def test_is_the_identity_when_both_output_layers_are_zero(block):
    for layer in (block.msa_block.attention.out_proj, block.mlp_block.mlp[3]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    assert torch.equal(block(z), z)


def test_does_not_care_in_which_order_tokens_come(block):
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    order = torch.randperm(7)
    torch.testing.assert_close(block(z[:, order]), block(z)[:, order])


@pytest.mark.parametrize("tokens", [None, 1, 3])
def test_the_encoder_is_its_blocks_one_after_another(config, randomise, tokens):
    """Hooks on the encoder and on each block fire; the last block may compute the first tokens alone."""
    encoder, calls = randomise(TransformerEncoder(config)).double(), []
    for module in (encoder, *encoder):
        module.register_forward_hook(lambda module, given, out: calls.append(module))
    z = torch.randn(2, 7, 12, dtype=torch.float64)
    found, expected = encoder(z, tokens), z
    assert calls == [*encoder, encoder]
    for block in encoder:
        expected = block(expected)
    torch.testing.assert_close(found, expected[:, :tokens])
