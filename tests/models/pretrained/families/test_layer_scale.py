import pytest
import torch

from models.pretrained.families.layer_scale import NAMES, fold_layer_scale
from tests.models.pretrained.families.networks import answer, difference, dinov2, images, ours, timm_vit

OF = {"timm": "blocks.0.ls1.gamma", "huggingface": "layers.0.layer_scale1.lambda1"}


def scaled(source, scale, layer=1, length=4):
    dense = f"{'blocks' if source == 'timm' else 'layers'}.0.{NAMES[source][1][layer - 1]}"
    name = OF[source].replace("1.", f"{layer}.", 1)
    weights = torch.Generator().manual_seed(layer)
    return {f"{dense}.weight": torch.randn(length, 7, generator=weights), name: scale,
            f"{dense}.bias": torch.randn(length, generator=weights)}, dense


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("source", OF)
def test_the_scaled_output_is_that_of_the_folded_layer(source, layer):
    scale, x = torch.tensor([2.0, -0.5, 0.0, 3.0]), torch.randn(5, 7)
    tensors, dense = scaled(source, scale, layer)
    folded, count = fold_layer_scale(source, tensors)
    assert (count, set(folded)) == (1, {f"{dense}.weight", f"{dense}.bias"})
    expected = scale * (x @ tensors[f"{dense}.weight"].T + tensors[f"{dense}.bias"])
    torch.testing.assert_close(x @ folded[f"{dense}.weight"].T + folded[f"{dense}.bias"], expected)


def test_a_scale_without_its_layer_or_of_another_length_is_refused_by_name():
    tensors, dense = scaled("timm", torch.ones(4))
    with pytest.raises(ValueError, match=f"{dense}.bias is missing, which blocks.0.ls1.gamma scales"):
        fold_layer_scale("timm", {name: t for name, t in tensors.items() if not name.endswith("bias")})
    for odd in (torch.ones(7), torch.ones(4, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"blocks.0.ls1.gamma is \("):
            fold_layer_scale("timm", tensors | {"blocks.0.ls1.gamma": odd})


@pytest.mark.parametrize("net", [dinov2, lambda: timm_vit(init_values=1.0)], ids=["transformers", "timm"])
def test_features_are_those_of_the_source_and_not_without_the_scale(net):
    net = net()
    expected, state = answer(net, images()), net.state_dict()
    assert difference(ours(state), expected) < 1e-5
    scales = [name for name in state if name.endswith(("gamma", "lambda1"))]
    assert len(scales) == 4
    for name in scales:                              # each of them counts, in weight and in bias
        assert difference(ours(state | {name: torch.ones(12)}), expected) > 1e-2
        assert difference(ours(state | {name: state[name].flip(0)}), expected) > 1e-2
