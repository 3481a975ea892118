import pytest
import torch

from functions.runtime.errors import UserError
from models.pretrained.key_maps import convert
from models.pretrained.prefixes import find_network, other_heads
from tests.models.pretrained.test_key_maps import tensors_of
from tests.models.pretrained.test_load import SMALL

WIDTH = SMALL.embedding_dim


def same(found, source):
    expected = convert(tensors_of(source)).weights
    weights = convert(found).weights
    assert all(torch.equal(weights[name], value) for name, value in expected.items() if not name.startswith("class"))
    return weights


@pytest.mark.parametrize("source", ["torchvision", "timm", "huggingface", "ours"])
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "backbone.", "base_encoder.", "encoder.", "net.",
                                    "module.model.", "_orig_mod.module.encoder.backbone.", "a.b.c."])
def test_a_prefix_common_to_all_tensors_is_taken_off(source, prefix):
    weights = same({prefix + name: tensor for name, tensor in tensors_of(source).items()}, source)
    assert torch.equal(weights["classifier.bias"], convert(tensors_of(source)).weights["classifier.bias"])


def without_head(source):
    return {name: tensor for name, tensor in tensors_of(source).items() if not name.startswith(("head", "classifier"))}


@pytest.mark.parametrize("source", ["torchvision", "timm", "ours"])
@pytest.mark.parametrize(("prefix", "head"), [("backbone.", "fc."), ("vit.", "classifier."), ("encoder.", "mlp.0."),
                                              ("model.backbone.", "model.linear.")])
def test_a_head_beside_a_wrapped_network_is_left_out_and_said(source, prefix, head):
    wrapped = {prefix + name: tensor for name, tensor in without_head(source).items()}
    wrapped |= {f"{head}weight": torch.ones(5, WIDTH), f"{head}bias": torch.ones(5)}
    assert not any(name.startswith("classifier") for name in same(wrapped, source))
    [note] = convert(wrapped).notes
    assert "2 tensors outside of" in note
    assert head.split(".")[-2 if head.startswith("model") else 0] in note


@pytest.mark.parametrize("source", ["torchvision", "timm", "huggingface", "ours"])
@pytest.mark.parametrize("head", ["fc", "linear", "my_classifier.2", "head.fc", "cls_head.proj"])
def test_a_linear_head_under_any_name_is_left_out_and_said(source, head):
    tensors = without_head(source) | {f"{head}.weight": torch.ones(5, WIDTH), f"{head}.bias": torch.ones(5)}
    assert not any(name.startswith("classifier") for name in same(tensors, source))
    assert any(f"the head {head}, of 5 classes, is left out" in note for note in convert(tensors).notes)


@pytest.mark.parametrize("head", ["heads.", "heads.0."])
def test_the_courses_heads_are_torchvisions(head):
    tensors = without_head("torchvision")
    tensors |= {f"{head}weight": torch.full((5, WIDTH), 2.0), f"{head}bias": torch.full((5,), 3.0)}
    converted = convert(tensors)
    assert converted.notes == ()
    assert (converted.weights["classifier.weight"] == 2).all()
    assert (converted.weights["classifier.bias"] == 3).all()


@pytest.mark.parametrize("source", ["timm", "torchvision"])
def test_a_head_of_several_layers_is_left_out_and_said(source):
    layers = {"heads.0.weight": torch.ones(8, WIDTH), "heads.0.bias": torch.ones(8), "heads.3.weight": torch.ones(8, 8),
              "heads.3.bias": torch.ones(8), "heads.10.weight": torch.ones(5, 8), "heads.10.bias": torch.ones(5)}
    tensors = without_head(source) | layers
    converted = convert(tensors)
    assert converted.left_out_classes == 5
    assert "the head heads, of 5 classes on hidden layers, is left out" in converted.notes
    assert other_heads({"bottleneck.weight": torch.ones(4, 4), "fuse.weight": torch.ones(4, 4)}, 4) is None


@pytest.mark.parametrize("source", ["torchvision", "timm", "huggingface", "ours", "jax"])
@pytest.mark.parametrize(("said", "end", "shape"), [
    ("arc.margin", ".weight", (5, WIDTH)), ("classifier_out", ".weight", (5, WIDTH)),
    ("head_drop.fc", ".weight", (5, WIDTH)), ("arc_margin", "", (5, WIDTH)), ("metric", ".kernel", (WIDTH, 5)),
    ("arc", ".W", (WIDTH, 5))])
def test_a_linear_head_is_known_by_its_shape_even_beside_the_librarys_own(source, said, end, shape):
    whole, head = tensors_of(source), (said + end).replace(".", "/") if source == "jax" else said + end
    converted = convert(whole | {head: torch.ones(shape)})
    kept, [note] = converted.weights, converted.notes
    assert f"the head {said.replace('.', '/') if source == 'jax' else said}, of 5 classes, is left out" == note
    expected = convert(whole).weights
    assert kept.keys() == expected.keys(), "the library's own head stays"
    assert all(torch.equal(kept[name], value) for name, value in expected.items())


def test_several_linear_heads_are_left_out_and_each_is_said():
    heads = {f"{name}.weight": torch.ones(classes, WIDTH) for name, classes in (("stage", 4), ("sex.out", 2))}
    assert list(convert(tensors_of("timm") | heads).notes) == [
        "the head sex.out, of 2 classes, is left out", "the head stage, of 4 classes, is left out"]


def test_the_librarys_own_head_without_a_bias_is_a_linear_head_too():
    whole = {name: tensor for name, tensor in tensors_of("timm").items() if name != "head.bias"}
    converted = convert(whole)
    assert "classifier.weight" not in converted.weights
    assert converted.notes == (f"the head head, of {len(whole['head.weight'])} classes, is left out",)


@pytest.mark.parametrize("extra", [
    {"blocks.0.adapter.weight": (5, WIDTH)}, {"patch_embed.extra.weight": (5, WIDTH)}, {"extra.weight": (5, WIDTH + 1)},
    {"extra.weight": (WIDTH, 5)}, {"extra.weight": (5, WIDTH), "extra.bias": (6,)}, {"other_token": (1, WIDTH)},
    {"time_embed": (7, WIDTH)}, {"hidden.weight": (WIDTH, WIDTH)}, {"extra.weight": (5, WIDTH), "extra.scale": (5,)},
    {"arc.weight": (5, WIDTH), "neck.running_mean": (WIDTH,)}, {"extra.weight": (5, WIDTH, 1)},
])
def test_whatever_else_is_left_over_stays_an_error(extra):
    with pytest.raises(UserError, match="is an unexpected tensor"):
        convert(tensors_of("timm") | {name: torch.ones(shape) for name, shape in extra.items()})


@pytest.mark.parametrize(("wanted", "other"), [("module.base_encoder.", "module.momentum_encoder."),
                                               ("teacher.", "student."), ("model_ema.", "model."),
                                               ("target_encoder.", "predictor.vit.")])
def test_of_two_networks_the_one_that_is_evaluated_is_read(wanted, other):
    tensors = {other + name: torch.zeros_like(tensor) for name, tensor in without_head("timm").items()}
    tensors |= {wanted + name: tensor for name, tensor in without_head("timm").items()}
    same(tensors | {"module.predictor.0.weight": torch.ones(3, 3)} if "base" in wanted else tensors, "timm")
    assert any("are left out" in note for note in convert(tensors).notes)


def test_of_two_networks_that_nothing_tells_apart_none_is_taken():
    tensors = {prefix + name: tensor for prefix in ("left.", "right.") for name, tensor in tensors_of("timm").items()}
    with pytest.raises(UserError, match=r"holds several networks \(left. and right.\)"):
        find_network(tensors)
