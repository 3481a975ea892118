import pytest
import torch
from torchvision.ops import stochastic_depth

from models import ViT, ViTConfig
from models.encoder_block import TransformerEncoderBlock
from models.stochastic_depth import StochasticDepth, depth_rates

SIZES = {"image_size": 8, "patch_size": 4, "in_channels": 1, "num_layers": 3, "embedding_dim": 12, "num_heads": 3,
         "mlp_size": 20, "num_classes": 2}


@pytest.mark.parametrize("rate", [0.1, 0.45])
@pytest.mark.parametrize("layers", [1, 2, 5, 12])
def test_rates_rise_linearly_from_zero_as_in_deit(rate, layers):
    assert depth_rates(rate, layers) == pytest.approx(torch.linspace(0, rate, layers).tolist())


def test_each_layer_of_a_vit_has_its_rate():
    model = ViT(ViTConfig(**SIZES, drop_path=0.4))
    assert [block.drop_path.rate for block in model.encoder] == pytest.approx([0, 0.2, 0.4])


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_equals_torchvisions_operator_number_for_number(rate):
    branch = torch.randn(5, 7, 12)
    torch.manual_seed(1)
    ours = StochasticDepth(rate).train()(branch)
    torch.manual_seed(1)
    assert torch.equal(ours, stochastic_depth(branch, rate, "row"))


def test_images_are_kept_whole_or_left_out_and_the_mean_is_the_branch():
    branch, rate = torch.randn(4000, 3, 2), 0.3
    out = StochasticDepth(rate).train()(branch)
    kept = out.flatten(1).any(dim=1)
    torch.testing.assert_close(out, branch * kept[:, None, None] / (1 - rate))
    assert abs(kept.float().mean() - (1 - rate)) < 4 * (rate * (1 - rate) / 4000) ** 0.5


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_off_it_is_the_identity_and_draws_no_number(rate, training):
    branch, state = torch.randn(5, 7, 12), torch.get_rng_state()
    assert StochasticDepth(rate).train(training)(branch) is branch
    assert torch.equal(torch.get_rng_state(), state)


def test_a_vit_without_it_draws_no_number_in_training_and_with_it_scores_as_without(randomise):
    plain = randomise(ViT(ViTConfig(**SIZES)))
    deep = ViT(ViTConfig(**SIZES, drop_path=0.5))
    deep.load_state_dict(plain.state_dict())                          # strict: it has no tensor of its own
    images, state = torch.randn(6, 1, 8, 8), torch.get_rng_state()
    trained = plain.train()(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(deep.eval()(images), plain.eval()(images))
    assert not torch.equal(deep.train()(images), trained)


@pytest.mark.parametrize("tokens", [None, 1])
def test_both_branches_of_a_block_are_left_out_independently(config, randomise, tokens):
    """Each image's tokens are those of one of the four networks; all four occur."""
    rate = 0.5
    block = randomise(TransformerEncoderBlock(config, rate)).double().train()
    z, found = torch.randn(64, 7, 12, dtype=torch.float64), set()
    out = block(z, tokens)
    ways = {}
    for msa in (0, 1 / (1 - rate)):
        for mlp in (0, 1 / (1 - rate)):
            middle = msa * block.msa_block(z, tokens) + z[:, :tokens]
            ways[msa, mlp] = mlp * block.mlp_block(middle) + middle
    for image in range(64):
        found |= {way for way, expected in ways.items() if torch.allclose(out[image], expected[image])}
        assert any(torch.allclose(out[image], expected[image]) for expected in ways.values())
    assert len(found) == 4
