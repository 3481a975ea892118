import types
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from models.config import HYBRIDS, HybridConfig
from models.factory import build
from models.hybrid import HybridViT, ResNetStem, StdConv2d, group_norm, pad_same
from models.pretrained.hybrid_weights import load_hybrid
from tests.models import hybrid_reference

WIDTH, UNITS = 32, (2, 1)
SMALL = HybridConfig(image_size=(16, 24), patch_size=8, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20,
                     num_classes=5, units=UNITS, stem_width=WIDTH)


def hybrid_arrays(units=UNITS, width=WIDTH, patch=1, **options):
    return hybrid_reference.make_arrays(units, width, patch, **options)


def images(size=(16, 24)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))


def reference_logits(arrays, pictures):
    return hybrid_reference.forward(arrays, pictures.permute(0, 2, 3, 1).numpy())


def small(**changes):
    return HybridViT(replace(SMALL, **changes))


def published(name, **changes):
    """The stem of a published hybrid, for images of 2x3 tokens, with SMALL's encoder."""
    theirs = HYBRIDS[name]
    size = (2 * theirs.patch_size, 3 * theirs.patch_size)
    return replace(SMALL, **{"image_size": size, "patch_size": theirs.patch_size, "units": theirs.units,
                             "stem_patch": theirs.stem_patch, "stem_width": theirs.stem_width} | changes)


def difference(model, arrays):
    with torch.no_grad():
        return np.abs(model.eval()(images()).numpy() - reference_logits(arrays, images())).max()


@pytest.mark.parametrize(
    ("name", "count"), [("r50_vit_b_16", 98_659_112), ("r26_vit_b_32", 101_383_976), ("r_vit_ti_16", 6_337_704)]
)
def test_parameter_counts_are_the_authors(name, count):
    """google-research/vision_transformer, vit_jax/models_test.py."""
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name).parameters()) == count


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_token_stands_for_as_many_pixels_as_promised(name):
    with torch.device("meta"):
        model = build(name, image_size=(64, 96), num_layers=1)
        assert model(torch.empty(2, 3, 64, 96)).shape == (2, 1000)


def test_new_kernels_are_drawn_as_the_vits():
    """N(0, 1/fan_in), cut at ±2σ of the wider normal: PatchEmbedding's draw."""
    torch.manual_seed(0)
    hybrid = build("r_vit_ti_16", num_layers=1).patch_embedding.project
    patches = build("vit_ti_16", num_layers=1).patch_embedding.project
    for module in (hybrid.patches, hybrid.stem.conv_root, patches):
        unit = module.weight * module.weight[0].numel() ** 0.5
        assert 0.97 < unit.std() < 1.03
        assert 2.2 < unit.abs().max() < 2 / 0.8796


def test_a_hybrid_is_the_vit_but_for_the_stem():
    hybrid, vit = small(), build("vit_ti_16", num_layers=2, embedding_dim=12, mlp_size=20)
    own = {name for name in hybrid.state_dict() if not name.startswith("patch_embedding.project.")}
    assert own == {name for name in vit.state_dict() if not name.startswith("patch_embedding.project.")}
    assert not hybrid.classifier.weight.any()
    assert not hybrid.classifier.bias.any()


@pytest.mark.parametrize("prefix", ["", "params/", "opt/target/"])
def test_logits_are_those_of_the_authors_formulas(tmp_path, prefix):
    arrays = hybrid_arrays()
    np.savez(tmp_path / "hybrid.npz", **{prefix + name: array for name, array in arrays.items()})
    model = load_hybrid(small(), tmp_path / "hybrid.npz")
    assert difference(model, arrays) < 1e-4
    assert (model.config.norm_eps, model.config.gelu) == (1e-6, "tanh")


@pytest.mark.parametrize(("name", "width"), [("r50_vit_b_16", 32), ("r26_vit_b_32", 32), ("r_vit_ti_16", 64)])
def test_the_papers_stems_give_the_logits_of_the_authors_formulas(name, width):
    """Their real units, patches and strides, and a map whose sides differ; narrower, and with two encoder blocks."""
    config = published(name, stem_width=width)
    arrays = hybrid_arrays(config.units, width, config.stem_patch)
    model, size = load_hybrid(HybridViT(config), arrays).eval(), config.image_size
    with torch.no_grad():
        difference = model(images(size)).numpy() - reference_logits(arrays, images(size))
    assert np.abs(difference).max() < 1e-4


@pytest.mark.parametrize(("theirs", "name"), [("vit_base_r50_s16_224", "r50_vit_b_16"),
                                              ("vit_tiny_r_s16_p8_224", "r_vit_ti_16")])
def test_timm_reads_the_same_file_to_the_same_logits(tmp_path, monkeypatch, theirs, name):
    """In float64. timm divides kernels by √(var + 1e-8) and its GroupNorm has 1e-5; alike in both, nothing differs."""
    config = published(name)
    size = config.image_size
    np.savez(tmp_path / "hybrid.npz", **hybrid_arrays(config.units, 64, config.stem_patch))
    other = timm.create_model(theirs, img_size=size, num_classes=5, embed_dim=12, depth=2, num_heads=3,
                              mlp_ratio=20 / 12, act_layer=partial(nn.GELU, approximate="tanh"))
    other.load_pretrained(tmp_path / "hybrid.npz")
    model = HybridViT(config)
    load_hybrid(model, tmp_path / "hybrid.npz")
    x = images(size).double()
    with torch.no_grad():
        expected = other.double().eval()(x)
        torch.testing.assert_close(model.double().eval()(x), expected, rtol=0, atol=3e-4)

        for module in other.modules():
            if isinstance(module, nn.GroupNorm):
                module.eps = 1e-6

        def forward(self, x):
            var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
            weight = (self.weight - mean) / torch.sqrt(var + 1e-8)
            return F.conv2d(pad_same(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)

        monkeypatch.setattr(StdConv2d, "forward", forward)
        torch.testing.assert_close(model(x), other(x), rtol=0, atol=1e-10)


def symmetric(x, kernel, stride, value=0.0):
    half = (kernel - 1) // 2 if stride == 1 else kernel // 2
    return F.pad(x, (half, half, half, half), value=value)


def symmetric_padding_of_convolutions(model, monkeypatch):
    monkeypatch.setattr("models.hybrid.pad_same",
                        lambda x, *how, **value: (pad_same if value else symmetric)(x, *how, **value))


def symmetric_padding_of_the_pool(model, monkeypatch):
    monkeypatch.setattr("models.hybrid.pad_same",
                        lambda x, *how, **value: (symmetric if value else pad_same)(x, *how, **value))


def kernels_not_standardised(model, monkeypatch):
    monkeypatch.setattr(StdConv2d, "forward", lambda self, x: F.conv2d(
        pad_same(x, self.kernel_size[0], self.stride[0]), self.weight, stride=self.stride))


def fewer_groups(model, monkeypatch):
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 16


def kernel_transposed(model, monkeypatch):
    conv2 = model.patch_embedding.project.stem.stages.block1.unit1.conv2.weight
    conv2.data = conv2.data.transpose(2, 3).contiguous()


def square_kernel_not_transposed(model, monkeypatch):
    conv2 = model.patch_embedding.project.stem.stages.block1.unit1.conv2.weight
    conv2.data = conv2.data.transpose(0, 1).contiguous()


def scale_and_bias_exchanged(model, monkeypatch):
    norm = model.patch_embedding.project.stem.stages.block2.unit1.gn_proj
    norm.weight, norm.bias = norm.bias, norm.weight


@pytest.mark.parametrize("mutate", [
    symmetric_padding_of_convolutions, symmetric_padding_of_the_pool, kernels_not_standardised, fewer_groups,
    kernel_transposed, square_kernel_not_transposed, scale_and_bias_exchanged])
def test_mutants_are_noticed(monkeypatch, mutate):
    arrays = hybrid_arrays()
    model = load_hybrid(small(), arrays)
    mutate(model, monkeypatch)
    assert difference(model, arrays) > 1e-3


def test_every_relu_is_noticed(monkeypatch):
    """One after the other is left out: the root's, and three of each of the three units."""
    arrays, calls = hybrid_arrays(), []
    model, expected = load_hybrid(small(), arrays).eval(), reference_logits(arrays, images())
    for left_out in range(1 + 3 * sum(UNITS)):
        calls.clear()

        def relu(x, left_out=left_out):
            calls.append(x)
            return x if len(calls) == left_out + 1 else torch.relu(x)

        functions = types.SimpleNamespace(pad=F.pad, conv2d=F.conv2d, max_pool2d=F.max_pool2d, relu=relu)
        monkeypatch.setattr("models.hybrid.F", functions)
        with torch.no_grad():
            assert np.abs(model(images()).numpy() - expected).max() > 1e-3, left_out
        assert len(calls) == 1 + 3 * sum(UNITS)


@pytest.mark.parametrize(("side", "kernel", "stride", "before", "after"), [
    (6, 7, 2, 2, 3), (7, 7, 2, 3, 3), (6, 3, 2, 0, 1), (5, 3, 2, 1, 1), (5, 3, 1, 1, 1), (6, 1, 2, 0, 0)])
def test_same_padding_keeps_the_odd_pixel_for_the_end(side, kernel, stride, before, after):
    """Both sides by hand, from TensorFlow's rule: (⌈side/stride⌉ - 1)·stride + kernel - side pixels in all."""
    row = [0] * before + [1] * side + [0] * after
    padded = pad_same(torch.ones(1, 1, side, side), kernel, stride)[0, 0]
    assert padded.amax(0).tolist() == row
    assert padded.amax(1).tolist() == row


def test_kernels_are_standardised_with_the_authors_epsilon_and_no_bessel():
    """A kernel of tiny spread, where 1e-5 on the standard deviation and 27 - 1 for 27 both count."""
    convolution = StdConv2d(3, 4, 3, 2)
    kernel = np.random.default_rng(0).normal(1.0, 1e-4, (3, 3, 3, 4)).astype(np.float32)
    convolution.weight.data = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
    x = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = convolution(x).permute(0, 2, 3, 1).numpy()
    expected = hybrid_reference.conv(x.permute(0, 2, 3, 1).double().numpy(), kernel.astype(np.float64), 2)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.01 * expected.std())
    assert expected.std() * (np.sqrt(27 / 26) - 1) > 0.01 * expected.std(), "Bessel's correction would be seen"


def test_group_norm_has_the_authors_epsilon():
    x = 1e-3 * torch.randn(2, 64, 3, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = group_norm(64)(x).permute(0, 2, 3, 1).numpy()
    expected = hybrid_reference.norm(x.permute(0, 2, 3, 1).double().numpy(), np.ones(64), np.zeros(64))
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_a_new_unit_is_its_shortcut():
    torch.manual_seed(0)
    stem = ResNetStem((2,), 3, 32)
    unit = stem.stages.block1.unit2
    x = torch.rand(2, 128, 4, 6)
    torch.testing.assert_close(unit(x), x)
