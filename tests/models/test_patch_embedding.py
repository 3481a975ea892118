import pytest
import torch
from torch.nn import functional as F

from models import PatchEmbedding, ViTConfig, build


@pytest.fixture
def embedding(config, randomise):
    return randomise(PatchEmbedding(config)).double()


def test_convolution_is_a_linear_projection_of_patches(embedding):
    """Cut into patches by hand and multiplied by E, row by row from the top left: every token is the same."""
    images = torch.randn(2, 3, 10, 15, dtype=torch.float64)
    patches = F.unfold(images, kernel_size=5, stride=5).transpose(1, 2)              # (B, N, CP²)
    projected = patches @ embedding.project.weight.flatten(1).T + embedding.project.bias
    tokens = embedding(images) - embedding.positions
    torch.testing.assert_close(tokens[:, 1:], projected)
    torch.testing.assert_close(tokens[:, 0], embedding.class_token[0].expand(2, -1))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 2), (1, 0), (1, 1)])
def test_lighting_one_patch_moves_exactly_its_token(embedding, row, column):
    dark = torch.zeros(1, 3, 10, 15, dtype=torch.float64)
    lit = dark.clone()
    lit[:, :, 5 * row : 5 * row + 5, 5 * column : 5 * column + 5] = 1
    moved = (embedding(lit) - embedding(dark)).abs().sum(dim=2)[0] > 1e-9
    assert moved.nonzero().flatten().tolist() == [1 + 3 * row + column]


def test_positions_are_learned_and_cover_the_class_token(embedding):
    tokens = embedding(torch.zeros(2, 3, 10, 15, dtype=torch.float64))
    tokens.sum().backward()
    assert embedding.positions.shape == (1, 7, 12)
    assert (embedding.positions.grad == 2).all()


def test_dropout_follows_the_positions(config, randomise):
    embedding = randomise(PatchEmbedding(ViTConfig(**{**vars(config), "dropout": 0.5})))
    images = torch.randn(2, 3, 10, 15)
    silent = embedding.eval()(images)
    live = embedding.train()(images)
    kept = live != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(live[kept], 2 * silent[kept])


@pytest.mark.parametrize("shape", [(2, 1, 10, 15), (2, 3, 15, 10), (2, 3, 10, 20), (3, 10, 15)])
def test_other_images_are_refused_with_both_shapes(embedding, shape):
    with pytest.raises(ValueError, match=rf"{', '.join(map(str, shape))}.*3, 10, 15"):
        embedding(torch.zeros(shape, dtype=torch.float64))


def test_initial_values_are_the_authors():
    """At ViT-B/16's size the sampled statistics are sharp: the standard error of a σ over n values is σ/√(2n)."""
    torch.manual_seed(0)
    embedding = build("vit_b_16", num_layers=1).patch_embedding
    fan_in = 3 * 16 * 16
    weight = embedding.project.weight
    assert weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.005)
    assert weight.abs().max().item() == pytest.approx(2 * fan_in**-0.5 / 0.87962566, rel=1e-3)   # cut at ±2σ
    assert (embedding.project.bias == 0).all()
    assert (embedding.class_token == 0).all()
    assert embedding.positions.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(embedding.positions.mean().item()) < 2e-4
