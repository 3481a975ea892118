import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import ViT, ViTConfig, build


@pytest.fixture
def model(config, randomise):
    return randomise(ViT(config)).double()


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-6) * weight + bias


def paper_vit(w, images, patch, num_layers, num_heads):
    """Eq. 1–4 in plain float64 tensors: no modules, no torch.nn, one patch and one head at a time."""
    batch, _, height, width = images.shape
    tokens = [w["patch_embedding.class_token"][0, 0].expand(batch, -1)]
    for top in range(0, height, patch):                                     # row by row from the top left
        for left in range(0, width, patch):
            pixels = images[:, :, top : top + patch, left : left + patch].reshape(batch, -1)
            kernel = w["patch_embedding.project.weight"]
            tokens.append(pixels @ kernel.reshape(len(kernel), -1).T + w["patch_embedding.project.bias"])
    z = torch.stack(tokens, dim=1) + w["patch_embedding.positions"]         # Eq. 1
    for i in range(num_layers):
        p = f"encoder.{i}.msa_block."
        x = layer_norm(z, w[p + "norm.weight"], w[p + "norm.bias"])
        qkv = x @ w[p + "attention.in_proj_weight"].T + w[p + "attention.in_proj_bias"]
        width_d = z.shape[-1]
        q, k, v = qkv[..., :width_d], qkv[..., width_d : 2 * width_d], qkv[..., 2 * width_d :]
        d_h = width_d // num_heads
        heads = []
        for h in range(num_heads):
            s = slice(h * d_h, (h + 1) * d_h)
            a = torch.exp(q[..., s] @ k[..., s].transpose(1, 2) / math.sqrt(d_h))
            heads.append(a / a.sum(-1, keepdim=True) @ v[..., s])
        msa = torch.cat(heads, -1) @ w[p + "attention.out_proj.weight"].T + w[p + "attention.out_proj.bias"]
        z = msa + z                                                         # Eq. 2
        p = f"encoder.{i}.mlp_block."
        x = layer_norm(z, w[p + "norm.weight"], w[p + "norm.bias"])
        hidden = x @ w[p + "mlp.0.weight"].T + w[p + "mlp.0.bias"]
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        z = hidden @ w[p + "mlp.3.weight"].T + w[p + "mlp.3.bias"] + z      # Eq. 3
    y = layer_norm(z, w["norm.weight"], w["norm.bias"])[:, 0]               # Eq. 4
    return y @ w["classifier.weight"].T + w["classifier.bias"]


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_paper_written_in_plain_tensors(model, training):
    images = torch.randn(2, 3, 10, 15, dtype=torch.float64)
    expected = paper_vit(model.state_dict(), images, patch=5, num_layers=2, num_heads=3)
    assert expected.std() > 0.1
    torch.testing.assert_close(model.train(training)(images), expected, rtol=1e-10, atol=1e-10)


def test_equals_the_paper_on_a_gray_tall_slice(randomise):
    model = randomise(ViT(ViTConfig(image_size=(26, 22), patch_size=2, in_channels=1, num_classes=3, num_layers=3,
                                    embedding_dim=10, num_heads=5, mlp_size=14))).double()
    images = torch.randn(2, 1, 26, 22, dtype=torch.float64)
    expected = paper_vit(model.state_dict(), images, patch=2, num_layers=3, num_heads=5)
    torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)


def test_loss_starts_at_ln_k():
    """A zero classifier gives every class the same probability: cross entropy ln K, whatever the image."""
    model = build("vit_ti_16", image_size=(32, 48), num_classes=5, num_layers=2)
    logits = model(torch.randn(3, 3, 32, 48))
    assert F.cross_entropy(logits, torch.tensor([0, 3, 4])).item() == pytest.approx(math.log(5), abs=1e-7)


def test_shuffled_patches_matter_only_through_positions(model):
    images = torch.randn(2, 3, 10, 15, dtype=torch.float64)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    patches = images.unfold(2, 5, 5).unfold(3, 5, 5).flatten(2, 3)                     # (B, C, N, P, P)
    shuffled = patches[:, :, order].unflatten(2, (2, 3)).transpose(3, 4).reshape(2, 3, 10, 15)
    assert (model(images) - model(shuffled)).abs().max() > 1e-3
    nn.init.zeros_(model.patch_embedding.positions)
    torch.testing.assert_close(model(images), model(shuffled))


def test_every_parameter_gets_gradient(model):
    model(torch.randn(2, 3, 10, 15, dtype=torch.float64)).square().sum().backward()
    d = model.config.embedding_dim
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if name.endswith("in_proj_bias"):    # softmax ignores the key bias: it shifts all scores of a query alike
            gradient = torch.cat([gradient[:d], gradient[2 * d :]])
        assert (gradient != 0).all(), name


def test_blocks_start_different():
    torch.manual_seed(0)
    first, second = ViT(ViTConfig(image_size=16, patch_size=8, num_layers=2, embedding_dim=12, num_heads=3)).encoder
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert a is not b
        if name.endswith(("in_proj_weight", "mlp.0.weight")):
            assert not torch.equal(a, b), name


def test_dropout_is_live_in_training_and_silent_in_evaluation(config, randomise):
    model = randomise(ViT(ViTConfig(**{**vars(config), "dropout": 0.3})))
    images = torch.randn(2, 3, 10, 15)
    assert not torch.equal(model.train()(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


def test_an_image_does_not_depend_on_its_batch(model):
    images = torch.randn(5, 3, 10, 15, dtype=torch.float64)
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]))


def test_class_token_is_what_is_read(model):
    """Eq. 4 reads z_L^0 of the whole encoder: not a patch, and not the mean of all tokens."""
    torch.nn.init.normal_(model.classifier.weight)
    images = torch.randn(2, 3, 10, 15, dtype=torch.float64)
    z = model.encoder(model.patch_embedding(images))
    logits = model(images)
    torch.testing.assert_close(logits, model.classifier(model.norm(z[:, 0])))
    for other in (z[:, 1], z[:, -1], z.mean(dim=1)):
        assert not torch.allclose(logits, model.classifier(model.norm(other)), atol=1e-3)


def test_every_norm_has_the_configured_epsilon():
    for eps in (1e-6, 1e-12):
        model = ViT(ViTConfig(image_size=16, patch_size=8, num_layers=2, embedding_dim=12, num_heads=3, norm_eps=eps))
        norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
        assert [norm.eps for norm in norms] == [eps] * 5
        assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


def test_classifier_starts_at_zero():
    classifier = build("vit_ti_16", num_layers=1).classifier
    assert (classifier.weight == 0).all()
    assert (classifier.bias == 0).all()
