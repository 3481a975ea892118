import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.config import ViTConfig
from models.hybrid import HYBRIDS, HybridViT, ResNetStem, StdConv2d, build_hybrid, group_norm, load_hybrid
from tests.models import jax_reference

WIDTH, UNITS = 32, (2, 1)
SMALL = ViTConfig(image_size=(16, 24), patch_size=8, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20,
                  num_classes=5)


def stem_arrays(units=UNITS, width=WIDTH, seed=5):
    """A stem as the authors' .npz files name and shape it, norms with their axes of one."""
    draw = np.random.default_rng(seed)
    arrays = {}

    def conv(name, size, channels, features):
        arrays[f"{name}/kernel"] = draw.normal(0.1, 0.5, (size, size, channels, features)).astype(np.float32)

    def norm(name, channels):
        arrays[f"{name}/scale"] = draw.normal(1, 0.3, (1, 1, 1, channels)).astype(np.float32)
        arrays[f"{name}/bias"] = draw.normal(0, 0.3, (1, 1, 1, channels)).astype(np.float32)

    conv("conv_root", 7, 3, width)
    norm("gn_root", width)
    channels = width
    for stage, count in enumerate(units):
        features = width * 2**stage
        for unit in range(count):
            at = f"block{stage + 1}/unit{unit + 1}"
            if unit == 0:
                conv(f"{at}/conv_proj", 1, channels, 4 * features)
                norm(f"{at}/gn_proj", 4 * features)
            for number, (size, before, after) in enumerate(((1, channels, features), (3, features, features),
                                                            (1, features, 4 * features)), 1):
                conv(f"{at}/conv{number}", size, before, after)
                norm(f"{at}/gn{number}", after)
            channels = 4 * features
    return arrays


def hybrid_arrays(**options):
    arrays = jax_reference.make_arrays(1, 12, 3, 20, 2, (2, 3), 5, **options)
    draw = np.random.default_rng(8)
    arrays["embedding/kernel"] = draw.normal(0, 0.05, (1, 1, WIDTH * 8, 12)).astype(np.float32)
    return arrays | stem_arrays()


def windows(x, size, stride, fill):
    """Every SAME window of x (B, H, W, C): (B, ⌈H/s⌉, ⌈W/s⌉, size, size, C); the odd pixel of padding comes last."""
    pads = []
    for side in x.shape[1:3]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return view.transpose(0, 1, 2, 4, 5, 3)


def conv(x, kernel, stride=1):
    kernel = kernel - kernel.mean(axis=(0, 1, 2))
    kernel = kernel / (kernel.std(axis=(0, 1, 2)) + 1e-5)
    return np.einsum("bhwijc,ijcd->bhwd", windows(x, len(kernel), stride, 0.0), kernel, optimize=True)


def norm(x, scale, bias):
    b, h, w, channels = x.shape
    groups = x.reshape(b, h * w, 32, channels // 32)
    mean = groups.mean(axis=(1, 3), keepdims=True)
    groups = (groups - mean) / np.sqrt(((groups - mean) ** 2).mean(axis=(1, 3), keepdims=True) + 1e-6)
    return groups.reshape(x.shape) * scale.ravel() + bias.ravel()


def stem_forward(arrays, images):
    """The stem's map (B, H', W', C) of images (B, H, W, 3), float64, from vit_jax/models_resnet.py's definitions."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}

    def step(x, at, number, stride=1):
        x = conv(x, a[f"{at}conv{number}/kernel"], stride)
        return norm(x, a[f"{at}gn{number}/scale"], a[f"{at}gn{number}/bias"])

    x = np.maximum(step(images.astype(np.float64), "", "_root", 2), 0)
    x = windows(x, 3, 2, -np.inf).max(axis=(3, 4))
    for stage, count in enumerate(UNITS):
        for unit in range(count):
            at, stride = f"block{stage + 1}/unit{unit + 1}/", 2 if stage and unit == 0 else 1
            shortcut = step(x, at, "_proj", stride) if unit == 0 else x
            x = np.maximum(step(x, at, 1), 0)
            x = np.maximum(step(x, at, 2, stride), 0)
            x = np.maximum(step(x, at, 3) + shortcut, 0)
    return x


def images(size=(16, 24)):
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))


def reference_logits(arrays, pictures):
    feature_map = stem_forward(arrays, pictures.permute(0, 2, 3, 1).numpy())
    return jax_reference.forward(arrays, feature_map)


def small(**changes):
    return HybridViT(replace(SMALL, **changes), UNITS, 1, WIDTH)


def difference(model, arrays):
    with torch.no_grad():
        return np.abs(model.eval()(images()).numpy() - reference_logits(arrays, images())).max()


@pytest.mark.parametrize(
    ("name", "count"), [("r50_vit_b_16", 98_659_112), ("r26_vit_b_32", 101_383_976), ("r_vit_ti_16", 6_337_704)]
)
def test_parameter_counts_are_the_authors(name, count):
    """google-research/vision_transformer, vit_jax/models_test.py."""
    with torch.device("meta"):
        assert sum(p.numel() for p in build_hybrid(name).parameters()) == count


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_token_stands_for_as_many_pixels_as_promised(name):
    with torch.device("meta"):
        model = build_hybrid(name, image_size=(64, 96), num_layers=1)
        assert model(torch.empty(2, 3, 64, 96)).shape == (2, 1000)
    with pytest.raises(ValueError, match="not a multiple of the patch size"):
        build_hybrid(name, image_size=(64, 88 + 4))


@pytest.mark.parametrize("prefix", ["", "params/", "opt/target/"])
def test_logits_are_those_of_the_authors_formulas(tmp_path, prefix):
    arrays = hybrid_arrays()
    np.savez(tmp_path / "hybrid.npz", **{prefix + name: array for name, array in arrays.items()})
    model = load_hybrid(small(), tmp_path / "hybrid.npz")
    assert difference(model, arrays) < 1e-4
    assert (model.config.norm_eps, model.config.gelu) == (1e-6, "tanh")


def symmetric_padding(model, monkeypatch):
    def pad(x, kernel, stride, value=0.0):
        half = (kernel - 1) // 2 if stride == 1 else kernel // 2
        return F.pad(x, (half, half, half, half), value=value)

    monkeypatch.setattr("models.hybrid.pad_same", pad)


def fewer_groups(model, monkeypatch):
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = 16


def kernels_not_permuted(model, monkeypatch):
    conv2 = model.patch_embedding.project.stem.stages.block1.unit1.conv2.weight
    conv2.data = conv2.data.transpose(2, 3).contiguous()


@pytest.mark.parametrize("mutate", [symmetric_padding, fewer_groups, kernels_not_permuted])
def test_mutants_are_noticed(monkeypatch, mutate):
    arrays = hybrid_arrays()
    model = load_hybrid(small(), arrays)
    mutate(model, monkeypatch)
    assert difference(model, arrays) > 1e-3


def test_kernels_are_standardised_with_the_authors_epsilon_and_no_bessel():
    """A kernel of tiny spread, where 1e-5 on the standard deviation and 27 - 1 for 27 both count."""
    convolution = StdConv2d(3, 4, 3, 2)
    kernel = np.random.default_rng(0).normal(1.0, 1e-4, (3, 3, 3, 4))
    convolution.weight.data = torch.from_numpy(kernel.astype(np.float32)).permute(3, 2, 0, 1).contiguous()
    x = torch.randn(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = convolution(x).permute(0, 2, 3, 1).numpy()
    expected = conv(x.permute(0, 2, 3, 1).double().numpy(), kernel.astype(np.float32).astype(np.float64), 2)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.01 * expected.std())
    assert expected.std() * (np.sqrt(27 / 26) - 1) > 0.01 * expected.std(), "Bessel's correction would be seen"


def test_group_norm_has_the_authors_epsilon():
    x = 1e-3 * torch.randn(2, 64, 3, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = group_norm(64)(x).permute(0, 2, 3, 1).numpy()
    expected = norm(x.permute(0, 2, 3, 1).double().numpy(), np.ones(64), np.zeros(64))
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_a_new_unit_is_its_shortcut():
    torch.manual_seed(0)
    stem = ResNetStem((2,), 3, 32)
    unit = stem.stages.block1.unit2
    x = torch.rand(2, 128, 4, 6)
    torch.testing.assert_close(unit(x), x)


@pytest.mark.parametrize("name", ["conv_root/kernel", "block1/unit2/gn3/bias", "block2/unit1/conv_proj/kernel",
                                  "embedding/kernel", "Transformer/encoder_norm/scale"])
def test_a_missing_or_surplus_array_is_refused_and_the_model_stays(name):
    arrays, model = hybrid_arrays(), small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="missing|no Vision Transformer"):
        load_hybrid(model, {key: array for key, array in arrays.items() if key != name})
    with pytest.raises(ValueError, match="left over|no place"):
        load_hybrid(model, arrays | {"block1/unit2/conv4/kernel": np.ones((1, 1, 2, 2), np.float32)})
    with pytest.raises(ValueError, match="of another hybrid"):
        load_hybrid(HybridViT(SMALL, UNITS, 1, 64), arrays)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_other_classes_and_another_size_are_said():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arrays = hybrid_arrays()
        square = jax_reference.make_arrays(1, 12, 3, 20, 2, (3, 3), 5)["Transformer/posembed_input/pos_embedding"]
        arrays["Transformer/posembed_input/pos_embedding"] = square
        model = load_hybrid(small(num_classes=4), arrays)
    words = " | ".join(str(warning.message) for warning in caught)
    assert "positions interpolated from a grid of 3x3 to 2x3" in words
    assert "the head of 5 classes is left out, the model has 4" in words
    assert not model.classifier.weight.any()
