import warnings

import numpy as np
import pytest
import torch

from models.factory import build
from models.hybrid import ResNetStem
from models.pretrained import load_pretrained, to_torchvision
from models.pretrained.hybrid_weights import load_hybrid, stem_from_jax
from tests.models import jax_reference
from tests.models.test_hybrid import UNITS, WIDTH, difference, hybrid_arrays, small


def test_the_public_loader_takes_a_hybrid_too(tmp_path):
    np.savez(tmp_path / "hybrid.npz", **hybrid_arrays())
    assert difference(load_pretrained(small(), tmp_path / "hybrid.npz"), hybrid_arrays()) < 1e-4
    with pytest.raises(ValueError, match="these weights are of another hybrid: heads is 3, the model's 4"):
        load_pretrained(small(num_heads=4), hybrid_arrays())
    with pytest.raises(ValueError, match="torchvision has no equivalent of a hybrid"):
        to_torchvision(small(image_size=16))


def test_the_stem_is_told_from_the_rest():
    arrays = {name: torch.from_numpy(array) for name, array in hybrid_arrays().items()}
    stem, rest = stem_from_jax(arrays)
    assert set(rest) == {name for name in arrays if name.startswith(("embedding", "cls", "Transformer", "head"))}
    expected = ResNetStem(UNITS, 3, WIDTH).state_dict()
    assert {name: tensor.shape for name, tensor in stem.items()} == {name: t.shape for name, t in expected.items()}
    kernel = arrays["block2/unit1/conv2/kernel"]
    assert stem["stages.block2.unit1.conv2.weight"][5, 3, 2, 1] == kernel[2, 1, 3, 5]


def refused(arrays, match, **changes):
    """Loading raises ValueError, of one line, and the model stays as it was."""
    model = small(**changes)
    config, before = model.config, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=match) as caught:
        load_hybrid(model, arrays)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.config is config


@pytest.mark.parametrize("name", hybrid_arrays())
def test_each_array_is_needed(name):
    arrays = {key: array for key, array in hybrid_arrays().items() if key != name}
    refused(arrays, "no Vision Transformer" if name == "embedding/kernel" else "missing")


@pytest.mark.parametrize(("name", "shape", "match"), [
    ("block1/unit2/conv4/kernel", (1, 1, 2, 2), r"block1\.unit2\.conv4\.weight is unexpected"),
    ("block1/unit3/gn1/bias", (32,), r"block1\.unit3\.gn1\.bias is unexpected"),
    ("gn_root/weight", (1, 1, 1, 32), "gn_root/weight is an unexpected tensor"),        # would fall on gn_root/scale
    ("gn_root/kernel", (1, 1, 1, 32), "gn_root/kernel is an unexpected tensor"),
    ("gn_root/scale", (2, 16), r"gn_root\.weight is \(2, 16\), the model's \(32,\)"),
    ("gn_root/scale", (1, 1, 32, 2), r"gn_root\.weight is \(32, 2\)"),
    ("conv_root/kernel", (32, 3, 7, 7), r"conv_root\.weight is \(7, 7, 32, 3\), the model's \(32, 3, 7, 7\)"),
    ("conv_root/kernel", (7, 7, 3), r"conv_root\.weight is \(7, 7, 3\)"),
    ("embedding/kernel", (2, 2, 256, 12), r"project\.patches\.weight is \(12, 256, 2, 2\)"),
])
def test_a_surplus_array_or_another_shape_is_refused(name, shape, match):
    refused(hybrid_arrays() | {name: np.ones(shape, np.float32)}, match)


def test_another_network_is_refused():
    refused(hybrid_arrays(), "heads is 3, the model's 4", num_heads=4)       # all shapes are the same
    refused(hybrid_arrays(), r"encoder\.2\..* is missing", num_layers=3)
    refused(hybrid_arrays(), r"is \(20, 12\), the model's \(24, 12\)", mlp_size=24)
    refused(hybrid_arrays(), r"conv_root\.weight is \(32, 3, 7, 7\)", in_channels=1)
    refused(hybrid_arrays(width=64), r"conv_root\.weight is \(64, 3, 7, 7\)")
    refused(hybrid_arrays(units=(1, 1)), r"block1\.unit2\..* is missing")
    refused(jax_reference.make_arrays(8, 12, 3, 20, 2, (2, 3), 5), r"stem\..* is missing")
    refused(build("vit_ti_16", num_layers=1).state_dict(), "ours weights: a hybrid takes the arrays of the authors'")
    refused({}, "no Vision Transformer")


def test_a_head_on_a_hidden_layer_is_left_out_or_refused():
    arrays = hybrid_arrays(hidden=9)
    refused(arrays, "the source head of 5 classes has a hidden layer")
    model = small(num_classes=4)
    with pytest.warns(UserWarning, match="5 classes on a hidden layer, is left out"):
        load_hybrid(model, arrays)
    assert not model.classifier.weight.any()


def test_a_file_with_the_optimisers_state_or_without_a_head_loads():
    arrays = {f"opt/target/{name}": array for name, array in hybrid_arrays().items()}
    with pytest.warns(UserWarning, match="1 tensors of the optimiser's state are left out"):
        model = load_hybrid(small(), arrays | {"opt/state/step": np.ones(1, np.float32)})
    assert difference(model, hybrid_arrays()) < 1e-4
    model = small()
    model.classifier.weight.data.fill_(0.5)
    load_hybrid(model, {name: array for name, array in hybrid_arrays().items() if not name.startswith("head/")})
    assert (model.classifier.weight == 0.5).all()


def test_other_classes_and_another_size_are_said():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arrays = hybrid_arrays()
        square = jax_reference.make_arrays(1, 12, 3, 20, 2, (4, 4), 5)["Transformer/posembed_input/pos_embedding"]
        arrays["Transformer/posembed_input/pos_embedding"] = square
        model = load_hybrid(small(num_classes=4), arrays)
    words = " | ".join(str(warning.message) for warning in caught)
    assert "positions interpolated from a grid of 4x4 to 2x3" in words
    assert "the head of 5 classes is left out, the model has 4" in words
    assert not model.classifier.weight.any()
    old = square[0, 1:].reshape(4, 4, 12)                    # linearly between corners: rows 0, 3; columns 0, 1.5, 3
    expected = np.stack([old[[0, 3], 0], (old[[0, 3], 1] + old[[0, 3], 2]) / 2, old[[0, 3], 3]], axis=1).reshape(6, 12)
    positions = model.patch_embedding.positions.detach().numpy()[0]
    np.testing.assert_allclose(positions, np.concatenate([square[0, :1], expected]), atol=1e-7)
