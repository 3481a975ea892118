import copy
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from models import VARIANTS, ViT, build
from models.config import ViTConfig
from models.pretrained.config_files import huggingface_config
from models.pretrained.load import load_pretrained, to_huggingface, to_torchvision
from models.pretrained.weight_files import read_weights
from tests.models import jax_reference, parity

SMALL = ViTConfig(image_size=(12, 12), patch_size=4, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=20,
                  num_classes=5)


@pytest.mark.parametrize(("variant", "size", "layers"), [("b/16", 160, 2), ("b/32", 224, 1), ("l/16", 160, 1)])
@pytest.mark.parametrize("source", parity.SOURCES)
def test_logits_are_the_sources_own_and_no_mutants(source, variant, size, layers):
    """Each shape at one size: `python -m tests.models.parity` has every shape at both, and deeper."""
    difference, std, mutants = parity.compare(source, variant, size, layers)
    assert std > 0.5
    assert difference < 1e-5
    assert min(mutants.values()) > 1e-4, mutants


def small_arrays(**options):
    return jax_reference.make_arrays(4, 12, 3, 20, 2, (3, 3), 5, **options)


def pictures(size=(12, 12), channels=3):
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(4))


def logits(model, images=None):
    with torch.no_grad():
        return model.eval()(pictures() if images is None else images)


def said(function):
    """(what a function returns, what it warned of)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, " | ".join(str(warning.message) for warning in caught)


@pytest.mark.parametrize("big_vision", [False, True])
@pytest.mark.parametrize("prefix", ["", "params/", "opt/target/"])
def test_every_spelling_of_the_authors_files_is_read(tmp_path, prefix, big_vision):
    arrays = small_arrays()
    expected = jax_reference.forward(arrays, pictures().permute(0, 2, 3, 1).numpy())
    if big_vision:
        arrays = jax_reference.as_big_vision(arrays)
    np.savez(tmp_path / "w.npz", **{prefix + name: array for name, array in arrays.items()})
    model, words = said(lambda: load_pretrained(ViT(SMALL), tmp_path / "w.npz"))
    assert words == ""
    np.testing.assert_allclose(logits(model), expected, atol=1e-5)
    assert (model.config.norm_eps, model.config.gelu) == (1e-6, "tanh")
    assert {m.approximate for m in model.modules() if isinstance(m, torch.nn.GELU)} == {"tanh"}


def test_a_head_on_a_hidden_layer_is_left_out_and_said(tmp_path):
    np.savez(tmp_path / "w.npz", **small_arrays(hidden=7))
    model, words = said(lambda: load_pretrained(ViT(replace(SMALL, num_classes=3)), tmp_path / "w.npz"))
    assert "the pre-training head, 5 classes on a hidden layer, is left out" in words
    assert not model.classifier.weight.any(), "the model's own head stays"
    with pytest.raises(ValueError, match="5 classes has a hidden layer"):
        load_pretrained(ViT(SMALL), tmp_path / "w.npz")
    net = torchvision.models.VisionTransformer(12, 4, 2, 3, 12, 20, num_classes=6, representation_size=7)
    _, words = said(lambda: load_pretrained(ViT(SMALL), net.state_dict()))
    assert "6 classes on a hidden layer" in words


def test_a_head_of_another_class_count_is_left_out_and_said():
    model = ViT(replace(SMALL, num_classes=4))
    torch.nn.init.ones_(model.classifier.weight)
    _, words = said(lambda: load_pretrained(model, small_arrays()))
    assert words == "the head of 5 classes is left out, the model has 4"
    assert (model.classifier.weight == 1).all()


def test_positions_of_another_grid_are_interpolated_and_said():
    model, words = said(lambda: load_pretrained(ViT(replace(SMALL, image_size=(20, 8))), small_arrays()))
    assert words == "positions interpolated from a grid of 3x3 to 5x2, as jax does"
    assert logits(model, pictures((20, 8))).shape == (2, 5)


def test_gray_images_meet_the_summed_kernel():
    rgb, _ = said(lambda: load_pretrained(ViT(SMALL), small_arrays()))
    gray, words = said(lambda: load_pretrained(ViT(replace(SMALL, in_channels=1)), small_arrays()))
    assert "summed to one channel" in words
    one = pictures(channels=1)
    torch.testing.assert_close(logits(gray, one), logits(rgb, one.repeat(1, 3, 1, 1)), atol=1e-5, rtol=0)


def test_back_to_torchvision_and_here_again():
    torch.manual_seed(0)
    model = parity.perturbed(ViT(SMALL), 3)
    theirs = torchvision.models.VisionTransformer(12, 4, 2, 3, 12, 20, num_classes=5).eval()
    theirs.load_state_dict(to_torchvision(model), strict=True)
    torch.testing.assert_close(logits(theirs), logits(model), atol=5e-6, rtol=0)
    again = load_pretrained(ViT(SMALL), theirs.state_dict())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="1e-12 and none: its logits would differ"):
        to_torchvision(ViT(replace(SMALL, norm_eps=1e-12)))


def test_our_own_checkpoints_bring_epsilon_gelu_and_grid(tmp_path):
    config = replace(SMALL, image_size=(20, 8), norm_eps=1e-3, gelu="tanh", in_channels=1)
    model = parity.perturbed(ViT(config), 3)
    plain = {"kind": "ViTConfig", **vars(config), "image_size": [20, 8]}
    torch.save({"format": 1, "weights": model.state_dict(), "config": plain, "epoch": 3}, tmp_path / "best.pt")
    again, words = said(lambda: load_pretrained(ViT(replace(SMALL, image_size=(20, 8), in_channels=1)),
                                                tmp_path / "best.pt"))
    assert words == ""
    assert torch.equal(logits(again, pictures((20, 8), 1)), logits(model, pictures((20, 8), 1)))
    _, words = said(lambda: load_pretrained(ViT(replace(SMALL, image_size=(8, 20), in_channels=1)),
                                            tmp_path / "best.pt"))
    assert "from a grid of 5x2 to 2x5" in words


def test_to_hugging_face_are_the_names_that_its_library_writes_and_back_the_same_tensors(tmp_path):
    config = replace(SMALL, num_classes=parity.CLASSES)
    parity.transformers_net(config).save_pretrained(tmp_path)
    model = parity.perturbed(ViT(config), 3)
    theirs = to_huggingface(model)
    assert {name: tensor.shape for name, tensor in theirs.items()} == {
        name: tensor.shape for name, tensor in read_weights(tmp_path / "model.safetensors").tensors.items()}
    again = load_pretrained(ViT(config), theirs)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_hybrid_has_no_place_in_hugging_faces_vit():
    with pytest.raises(ValueError, match="no equivalent of a hybrid"):
        to_huggingface(build("r50_vit_b_16", image_size=32, embedding_dim=12, num_heads=3, num_layers=1, mlp_size=4))


def test_a_configuration_beside_hugging_faces_file_says_epsilon_gelu_and_grid(tmp_path):
    """Without it the epsilon is 1e-12, and 36 positions would be 6x6."""
    config = replace(SMALL, image_size=(16, 36), norm_eps=1e-3, gelu="tanh", in_channels=1)
    model = parity.perturbed(ViT(config), 3)
    save_file({name: tensor.contiguous() for name, tensor in to_huggingface(model).items()}, tmp_path / "model.st")
    (tmp_path / "config.json").write_text(json.dumps(huggingface_config(config)))
    again, words = said(lambda: load_pretrained(ViT(replace(config, norm_eps=1e-6, gelu="none")),
                                                tmp_path / "model.st"))
    assert words == ""
    assert again.config == config
    assert torch.equal(logits(again, pictures((16, 36), 1)), logits(model, pictures((16, 36), 1)))
    with pytest.raises(ValueError, match="3 heads, the model has 4"):
        load_pretrained(ViT(replace(config, num_heads=4)), tmp_path / "model.st")


def test_a_configuration_of_hugging_face_beside_another_librarys_file_is_not_its(tmp_path):
    torch.save(to_torchvision(ViT(SMALL)), tmp_path / "vit.pth")
    (tmp_path / "config.json").write_text(json.dumps(huggingface_config(replace(SMALL, norm_eps=1e-3))))
    assert load_pretrained(ViT(SMALL), tmp_path / "vit.pth").config.norm_eps == 1e-6


@pytest.mark.parametrize("course", [False, True])
def test_the_replicated_repositorys_files_are_read_with_their_epsilon(course):
    model = parity.perturbed(ViT(replace(SMALL, norm_eps=1e-5)), 3)
    names = {"patch_embedding.project.": "patch_embedding_layer.patcher.", "patch_embedding.class_token":
             "class_embedding", "patch_embedding.positions": "position_embedding", "encoder.": "transformer_encoder.",
             ".norm.": ".layer_norm.", ".attention.": ".multihead_attention.", "classifier.": "classifier.1."}
    if course:
        names |= {"patch_embedding.project.": "patch_embedding.patcher.", ".attention.": ".multihead_attn."}
    state = {}
    for name, tensor in model.state_dict().items():
        name = "classifier.0." + name.removeprefix("norm.") if name.startswith("norm.") else name
        for ours, theirs in names.items():
            if not name.startswith("classifier.0."):
                name = name.replace(ours, theirs)
        state[name] = tensor
    again = load_pretrained(ViT(SMALL), state)
    assert again.config.norm_eps == 1e-5
    torch.testing.assert_close(logits(again), logits(model))


def test_files_of_hugging_face_have_the_older_names_and_are_read_alike(tmp_path):
    """save_pretrained writes what stands on the hub; the state dict has the names of transformers 5."""
    net = parity.perturbed(parity.transformers_net(replace(SMALL, num_classes=parity.CLASSES)), 0)
    net.save_pretrained(tmp_path)
    file = read_weights(tmp_path / "model.safetensors").tensors
    assert set(file) != set(net.state_dict())
    config = replace(SMALL, num_classes=parity.CLASSES)
    for state in (file, net.state_dict()):
        model = load_pretrained(ViT(config), state)
        torch.testing.assert_close(logits(model), net(pictures()).logits.detach(), atol=1e-5, rtol=0)
        assert model.config.norm_eps == 1e-12
    from transformers import ViTModel

    bare = ViTModel(net.config)
    _, words = said(lambda: load_pretrained(ViT(config), bare.state_dict()))
    assert "pooler" in words


def test_a_checkpoint_of_the_wrong_size_leaves_the_model_as_it_was():
    model = ViT(SMALL)
    before = copy.deepcopy(model.state_dict())
    changes = (({"num_layers": 3}, "2 layers, the model has 3"), ({"num_heads": 4}, "3 heads.*has 4"),
               ({"patch_size": 2}, "4 pixels a patch.*has 2"), ({"mlp_size": 24}, "20 MLP width.*has 24"),
               ({"embedding_dim": 24}, "12 width.*has 24"))
    for change, complaint in changes:
        with pytest.raises(ValueError, match=complaint):
            load_pretrained(ViT(replace(SMALL, **change)), small_arrays())
    with pytest.raises(ValueError, match="query/bias is missing"):
        load_pretrained(model, {k: v for k, v in small_arrays().items() if "query/bias" not in k})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.config == SMALL


@pytest.mark.parametrize("name", list(ViT(SMALL).state_dict()))
def test_a_tensor_of_another_shape_is_refused_by_name_before_any_is_copied(name):
    state = parity.perturbed(ViT(SMALL), 3).state_dict()
    model = ViT(SMALL)
    before = copy.deepcopy(model.state_dict())
    for odd in (torch.cat([state[name], state[name]], dim=-1), state[name].unsqueeze(0), torch.ones(())):
        with pytest.raises(ValueError, match="expected") as refusal:
            load_pretrained(model, state | {name: odd})
        assert name in str(refusal.value) or name in ("patch_embedding.class_token", "patch_embedding.project.weight",
                                                      "encoder.0.mlp_block.mlp.0.weight", "classifier.weight")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_with_more_than_a_vit_is_refused_before_any_is_copied():
    model = ViT(SMALL)
    model.extra = torch.nn.Linear(2, 2)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="do not fit this model: extra.bias"):
        load_pretrained(model, small_arrays())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_our_own_weights_of_a_grid_that_could_be_a_square_are_left_alone():
    """4x9 patches are as many as 6x6."""
    config = replace(SMALL, image_size=(16, 36))
    model = parity.perturbed(ViT(config), 3)
    again, words = said(lambda: load_pretrained(ViT(config), model.state_dict()))
    assert words == ""
    assert torch.equal(again.patch_embedding.positions, model.patch_embedding.positions)
    with pytest.raises(ValueError, match="takes square images, this one 16x36"):
        to_torchvision(model)


def test_parameter_counts_of_the_published_shapes_are_what_torchvision_has():
    with torch.device("meta"):
        for name in ("vit_b_16", "vit_l_32", "vit_h_14"):
            theirs = getattr(torchvision.models, name)()
            ours = ViT(VARIANTS[name])
            assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
