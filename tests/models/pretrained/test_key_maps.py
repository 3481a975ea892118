import warnings

import pytest
import torch

from models import ViT
from models.pretrained.key_maps import MARKS, convert, recognise
from models.pretrained.load import to_torchvision
from tests.models import parity
from tests.models.pretrained.test_load import SMALL, small_arrays


def tensors_of(source):
    if source == "jax":
        return {name: torch.from_numpy(array) for name, array in small_arrays().items()}
    if source == "ours":
        return parity.perturbed(ViT(SMALL), 0).state_dict()
    if source == "torchvision":
        return to_torchvision(parity.perturbed(ViT(SMALL), 0))
    net = {"timm": parity.timm_net, "huggingface": parity.transformers_net}[source]
    return parity.perturbed(net(SMALL), 0).state_dict()


SOURCES = ("torchvision", "timm", "huggingface", "jax", "ours")


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_is_recognised_by_its_names(source):
    assert recognise(tensors_of(source)) == source


def test_what_nobody_wrote_is_refused_with_those_known():
    with pytest.raises(ValueError, match=r"layer1.conv.*no Vision Transformer known here: torchvision, timm"):
        recognise(["layer1.conv.weight"])
    assert len(MARKS) == 6


@pytest.mark.parametrize("source", SOURCES)
def test_every_tensor_is_used_once_and_becomes_a_whole_vit(source):
    converted = convert(tensors_of(source))
    expected = {name: value.shape for name, value in ViT(SMALL).state_dict().items()}
    found = {name: value.shape for name, value in converted.weights.items()}
    if source in ("timm", "huggingface"):
        expected["classifier.weight"], expected["classifier.bias"] = (parity.CLASSES, 12), (parity.CLASSES,)
    assert {name: tuple(shape) for name, shape in found.items()} == {n: tuple(s) for n, s in expected.items()}
    assert sum(t.numel() for t in converted.weights.values()) == sum(t.numel() for t in tensors_of(source).values())


REFUSALS = "is missing|is an unexpected tensor|no Vision Transformer|without a class token|without position embeddings"


@pytest.mark.parametrize("source", SOURCES)
def test_without_any_one_tensor_it_is_refused_by_name(source):
    whole = tensors_of(source)
    for name in whole:
        if name.split("/")[0].split(".")[-1] in ("head", "classifier", "heads") or "head." in name \
                or name.startswith(("head", "classifier")):
            continue
        with pytest.raises(ValueError, match=REFUSALS) as refusal:
            convert({other: tensor for other, tensor in whole.items() if other != name})
        if source not in ("jax", "huggingface") and "no Vision Transformer" not in str(refusal.value):
            assert name in str(refusal.value)


@pytest.mark.parametrize("source", SOURCES)
def test_half_a_head_is_refused(source):
    whole = tensors_of(source)
    weight = next(name for name in whole if name.startswith(("head", "classifier")) and not name.endswith("bias"))
    with pytest.raises(ValueError, match="missing"):
        convert({name: tensor for name, tensor in whole.items() if name != weight})


@pytest.mark.parametrize("source", SOURCES)
def test_a_tensor_too_many_is_refused_by_name(source):
    with pytest.raises(ValueError, match="surplus.* is an unexpected tensor"):
        convert(tensors_of(source) | {"surplus": torch.ones(3)})


@pytest.mark.parametrize("name", ["fc_norm.weight", "reg_token", "blocks.0.attn.q_norm.weight"])
def test_relatives_of_the_vit_are_refused(name):
    """Two last norms, registers, normalised queries: their logits would silently be others (see families/)."""
    with pytest.raises(ValueError, match=rf"{name} is an unexpected tensor|\({name}\).*use weights"):
        convert(tensors_of("timm") | {name: torch.ones(12)})


@pytest.mark.parametrize(
    ("source", "name"),
    [("torchvision", "encoder.layers.encoder_layer_1.mlp.3.weight"), ("timm", "blocks.0.attn.qkv.weight"),
     ("huggingface", "vit.layers.1.mlp.fc1.weight"), ("ours", "encoder.0.mlp_block.mlp.0.weight")],
)
def test_a_transposed_matrix_is_refused_by_its_shape(source, name):
    tensors = tensors_of(source)
    tensors[name] = tensors[name].T
    with pytest.raises(ValueError, match="expected"):
        convert(tensors)


def test_an_array_with_too_few_axes_is_refused():
    arrays = tensors_of("jax")
    name = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/key/kernel"
    with pytest.raises(ValueError, match="key/kernel has 2 axes, not 3"):
        convert(arrays | {name: arrays[name].flatten(1)})


@pytest.mark.parametrize(
    ("source", "name"),
    [("torchvision", "encoder.layers.encoder_layer_0.mlp.linear_1.weight"), ("huggingface", "layernorm.weight"),
     ("huggingface", "vit.encoder.layer.0.intermediate.dense.weight"),
     ("jax", "Transformer/encoderblock_0/LayerNorm_1/scale"),
     ("jax", "Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/bias"), ("jax", "norm.weight"),
     ("jax", "Transformer/encoderblock_0/mlp_block.norm.weight"), ("torchvision", "encoder.0.pre_logits.weight"),
     ("jax", "extra_pre_logits/kernel"), ("huggingface", "pooler.extra")],
)
def test_the_same_tensor_twice_or_one_like_those_left_out_is_refused_by_name(source, name):
    with pytest.raises(ValueError, match=f"{name}.* is (an unexpected tensor|a duplicate of)"):
        convert(tensors_of(source) | {name: torch.ones(12)})


def test_beside_a_pooler_nothing_else_is_left_out():
    pooler = {"pooler.dense.weight": torch.ones(12, 12), "pooler.dense.bias": torch.ones(12)}
    assert convert(tensors_of("huggingface") | pooler).notes
    with pytest.raises(ValueError, match="pooler.extra is an unexpected tensor"):
        convert(tensors_of("huggingface") | pooler | {"pooler.extra": torch.ones(12)})


def test_positions_under_both_of_the_authors_names_are_refused():
    with pytest.raises(ValueError, match="is a duplicate of another"):
        convert(tensors_of("jax") | {"pos_embedding": torch.ones(1, 9, 12)})


@pytest.mark.parametrize(("source", "name"), [("jax", "pre_logits/kernel"), ("torchvision", "heads.pre_logits.bias")])
def test_half_a_hidden_layer_is_refused(source, name):
    with pytest.raises(ValueError, match=f"{name} has no matching weight or bias"):
        convert(tensors_of(source) | {name: torch.ones(12, 12) if "/" in name else torch.ones(12)})


def test_query_key_and_value_of_other_sizes_are_refused_though_their_sum_is_right():
    at = "vit.layers.0.attention"
    odd = {f"{at}.q_proj.weight": torch.ones(16, 12), f"{at}.k_proj.weight": torch.ones(8, 12)}
    with pytest.raises(ValueError, match=r"attention.q.weight: shape mismatch among q, k, v: \(16, 12\), \(8, 12\)"):
        convert(tensors_of("huggingface") | odd)
    with pytest.raises(ValueError, match=r"\(12, 13\)"):
        convert(tensors_of("huggingface") | {f"{at}.k_proj.weight": torch.ones(12, 13)})
    fused = "layers.0.attention.qkv.weight"
    with pytest.raises(ValueError, match="shape mismatch among q, k, v"):
        convert(tensors_of("huggingface") | {fused: torch.ones(36, 12)})


def test_a_blocks_number_costs_nothing_however_large():
    with pytest.raises(ValueError, match="blocks.99999999999.norm1.weight is an unexpected tensor"):
        convert(tensors_of("timm") | {"blocks.99999999999.norm1.weight": torch.ones(12)})


def test_what_is_no_tensor_is_refused_by_name():
    with pytest.raises(ValueError, match="comment is str, not a tensor"):
        convert(tensors_of("timm") | {"comment": "trained at home"})


def test_a_configuration_may_bring_one_form_alone():
    converted = convert(tensors_of("ours"), {"norm_eps": 1e-5})
    assert (converted.norm_eps, converted.gelu) == (1e-5, "none")


def test_forms_go_with_the_source():
    forms = {source: (convert(tensors_of(source)).norm_eps, convert(tensors_of(source)).gelu) for source in SOURCES}
    assert forms == {"torchvision": (1e-6, "none"), "timm": (1e-6, "none"), "huggingface": (1e-12, "none"),
                     "jax": (1e-6, "tanh"), "ours": (1e-6, "none")}


def test_torchvisions_older_names_are_read():
    new = tensors_of("torchvision")
    old = {name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t for name, t in new.items()}
    assert set(old) != set(new)
    ours, theirs = convert(new).weights, convert(old).weights
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_an_optimisers_state_beside_the_weights_is_left_out_and_said():
    arrays = {f"opt/target/{name}": array for name, array in tensors_of("jax").items()}
    converted = convert(arrays | {"opt/state/step": torch.ones(()), "opt/state/param_states/cls/mu": torch.ones(2)})
    assert converted.notes == ("2 tensors of the optimiser's state are left out",)


@pytest.mark.parametrize("backbone", ["torchvision", "ours"])
def test_our_fine_tuned_networks_are_read(backbone):
    state = tensors_of(backbone)
    head = "heads.head." if backbone == "torchvision" else "classifier."
    tuned = {f"head.{name.removeprefix(head)}" if name.startswith(head) else f"backbone.{name}": tensor
             for name, tensor in state.items()}
    found, expected = convert(tuned).weights, convert(state).weights
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("source", SOURCES)
def test_weights_of_any_floating_point_type_become_fp32(source, dtype):
    whole = {name: tensor.to(dtype) for name, tensor in tensors_of(source).items()}
    expected = convert({name: tensor.float() for name, tensor in whole.items()}).weights
    for name, tensor in convert(whole).weights.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name])


def quantised(tensor):
    with warnings.catch_warnings(action="ignore"):       # that torch will drop them
        return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


BAD = {"not finite": lambda t: t.clone().fill_(float("nan")), "infinite": lambda t: t.clone().fill_(float("-inf")),
       "complex": lambda t: t.to(torch.complex64), "int8": lambda t: t.to(torch.int8), "bool": lambda t: t > 0,
       "sparse": lambda t: t.to_sparse(), "meta": lambda t: t.to("meta"),
       "more numbers than the file holds": lambda t: torch.zeros(()).expand(t.shape),
       "quantised": lambda t: quantised(t)}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("source", SOURCES)
def test_tensors_of_anything_but_finite_real_numbers_are_refused_by_name(source, kind):
    whole = tensors_of(source)
    for name in (next(iter(whole)), next(name for name in whole if "mlp" in name.lower() and whole[name].ndim == 2)):
        with pytest.raises(ValueError, match=kind) as refusal:
            convert(whole | {name: BAD[kind](whole[name])})
        assert name in str(refusal.value) or source == "jax"


@pytest.mark.parametrize("change", [{"norm_eps": "small"}, {"norm_eps": 0.0}, {"norm_eps": float("nan")}, {"gelu": 3},
                                    {"image_size": "x"}, {"image_size": [0, 8]}, {"num_heads": 1.5}, {"num_heads": []}])
def test_a_configuration_that_is_none_is_refused_by_its_key(change):
    with pytest.raises(ValueError, match=f"configuration: {min(change)} is"):
        convert(tensors_of("ours"), change)
