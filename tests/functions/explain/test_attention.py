import weakref

import pytest
import torch
from torch import nn

from functions.explain import attention
from functions.explain.attention import attention_layers, attention_weights, patch_grid, record_attention
from functions.explain.rollout import rollout
from models import SelfAttention
from models.transfer import TransferConfig, TransferModel
from tests.functions.explain.conftest import KINDS
from tests.models.test_msa_block import ShapesMade


def recorded(model, images, layers=None):
    """{layer: [A of each chunk]} and the logits."""
    found = {}
    with torch.no_grad(), record_attention(model, lambda i, a: found.setdefault(i, []).append(a), layers):
        logits = model(images)
    return found, logits


@pytest.mark.parametrize("kind", KINDS)
def test_equals_torchs_own_weights_and_leaves_the_logits_alone(kind, make, pictures):
    """Each layer's input goes through nn.MultiheadAttention(need_weights=True); 35 images are two chunks of 32."""
    model, images, inputs = make(kind), pictures(kind, 35), {}
    for i, layer in enumerate(attention_layers(model)):
        layer.register_forward_pre_hook(lambda module, args, i=i: inputs.setdefault(i, []).append(args[0]))
    with torch.no_grad():
        before = model(images)
    inputs.clear()
    found, logits = recorded(model, images)
    assert torch.equal(before, logits)
    assert sorted(found) == [0, 1, 2]
    for i, layer in enumerate(attention_layers(model)):
        theirs = nn.MultiheadAttention(12, 2, batch_first=True)
        theirs.load_state_dict(layer.state_dict())
        z = torch.cat(inputs[i])[:35]
        expected = theirs(z, z, z, need_weights=True, average_attn_weights=False)[1]
        ours = torch.cat(found[i])
        assert ours.shape == (35, 2, z.shape[1], z.shape[1])
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(ours.sum(-1), torch.ones(ours.shape[:3]))
        if isinstance(layer, SelfAttention):
            torch.testing.assert_close(attention_weights(layer, z), layer.attention_weights(z), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "chunks"), [("transfer", [32, 3]), ("transfer ours", [32, 3]), ("ours", [35])])
def test_the_padding_of_chunks_is_left_out(kind, chunks, make, pictures):
    model, images = make(kind), pictures(kind, 35)
    found, _ = recorded(model, images, layers=[-1])
    assert {layer: [len(a) for a in parts] for layer, parts in found.items()} == {2: chunks}
    alone, _ = recorded(model, images[33:34], layers=[2])
    torch.testing.assert_close(torch.cat(found[2])[33:34], alone[2][0], atol=1e-6, rtol=0)


def test_a_part_called_alone_is_not_recorded(make, pictures):
    model, found = make("transfer"), []
    with torch.no_grad(), record_attention(model, lambda *seen: found.append(seen)):
        model(images=pictures("transfer"))
        assert len(found) == 3
        attention_layers(model)[0](*[torch.randn(2, 7, 12)] * 3)
        model.backbone(pictures("transfer"))
        model.features(pictures("transfer"))
    assert len(found) == 3


def test_what_is_recorded_has_no_gradient(make, pictures):
    model, found = make("ours"), {}
    with record_attention(model, found.__setitem__):
        logits = model(pictures("ours"))
    assert logits.requires_grad
    assert not any(weights.requires_grad for weights in found.values())


def test_recorded_in_float32_under_autocast_and_for_bfloat16_weights(make, pictures):
    model, images = make("ours"), pictures("ours")
    exact, _ = recorded(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = recorded(model, images)
    rough, _ = recorded(model.to(torch.bfloat16), images.to(torch.bfloat16))
    for found in (mixed, rough):
        for layer in range(3):
            assert found[layer][0].dtype == torch.float32
            torch.testing.assert_close(found[layer][0].sum(-1), torch.ones(2, 2, 7))
            torch.testing.assert_close(found[layer][0], exact[layer][0], atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_are_gone_after_an_exception(kind, make, pictures):
    model = make(kind)

    def fail(layer, weights):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), record_attention(model, fail):
        model(pictures(kind))
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    with pytest.raises(RuntimeError), record_attention(model, fail):
        raise RuntimeError
    model(pictures(kind))


def attention_shapes(made):
    return [shape for shape in made.shapes if shape.count(7) > 1]


def test_training_stays_on_the_fused_path(make, pictures):
    """Refused in training mode, inside the context, too; before, within and after it, training forms no N×N tensor."""
    model, images = make("ours"), pictures("ours")
    with pytest.raises(ValueError, match=r"inference only.*model\.eval"), record_attention(model.train(), print):
        pass
    with record_attention(model.eval(), lambda *_: None, layers=[0]):
        with ShapesMade() as made:
            model(images)
        assert attention_shapes(made), "the check itself must be able to see them"
        with pytest.raises(ValueError, match="inference only"):
            model.train()(images)
    with ShapesMade() as made:
        model(images).sum().backward()
    assert any(7 in shape for shape in made.shapes)
    assert not attention_shapes(made)


def test_one_layers_weights_are_in_memory_at_a_time(make, pictures, monkeypatch):
    """When a layer's weights are formed, those of the layers before it are freed: in a rollout, too."""
    alive, most = [], []

    def watched(layer, z):
        most.append(sum(ref() is not None for ref in alive))
        weights = attention_weights(layer, z)
        alive.append(weakref.ref(weights))
        return weights

    monkeypatch.setattr(attention, "attention_weights", watched)
    rollout(make("ours"), pictures("ours"))
    assert most == [0, 0, 0]
    most.clear()
    model, kept = make("ours"), []
    with record_attention(model, lambda layer, weights: kept.append(weights)):
        model(pictures("ours"))
    assert most == [0, 1, 2], "the check itself must be able to see them"


def test_layers_come_in_order_and_only_those_asked_for(make, pictures):
    found = []
    model = make("ours")
    with record_attention(model, lambda layer, _: found.append(layer), layers=[-1, 0, 2]):
        model(pictures("ours"))
    assert found == [0, 2]
    for wrong in (3, -4):
        with pytest.raises(ValueError, match=f"layer {wrong} does not exist.*3 layers, 0 to 2"), \
                record_attention(model, print, layers=[wrong]):
            pass


@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_of_patches(kind, make, grid):
    assert patch_grid(make(kind)) == grid(kind)


def test_a_network_without_attention_is_refused():
    resnet = TransferModel(TransferConfig("resnet18", image_size=(32, 32), num_classes=2)).eval()
    for refused in (attention_layers, patch_grid):
        with pytest.raises(ValueError, match="need a Vision Transformer: ResNet has no self-attention"):
            refused(resnet)
    with pytest.raises(ValueError, match="ResNet"), record_attention(resnet, print):
        pass
