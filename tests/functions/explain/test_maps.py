from dataclasses import replace

import pytest
import torch

from functions.explain.attention import record_attention
from functions.explain.maps import METHODS, describe, explain
from functions.explain.relevance import _forward, relevance
from functions.explain.rollout import rollout
from models import make_model
from tests.functions.explain.conftest import KINDS, plant


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hybrid"])
def test_a_lit_patch_lights_up_where_it_is(kind, method, make, grid):
    """Every patch of the (mostly non-square) grid in turn: the map's largest share is at its row and column."""
    model, (rows, columns) = plant(make(kind)), grid(kind)
    images = torch.zeros(rows * columns, 3 if kind == "torchvision" else 1, 4 * rows, 4 * columns)
    for i in range(rows * columns):
        r, c = divmod(i, columns)
        images[i, :, 4 * r:4 * r + 4, 4 * c:4 * c + 4] = 1
    maps = explain(model, images, method, target=1 if method == "relevance" else None)
    assert maps.shape == (rows * columns, rows, columns)
    assert maps.flatten(1).argmax(1).tolist() == list(range(rows * columns))
    assert (maps.flatten(1).max(1).values > 0.5).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_shares(kind, method, make, pictures, grid):
    maps = explain(make(kind), pictures(kind, 35), method)
    assert maps.shape == (35, *grid(kind))
    assert maps.dtype == torch.float32
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum(dim=(1, 2)), torch.ones(35))


def test_each_method_is_the_class_tokens_row_without_its_own_share(make, pictures):
    model, images, found = make("ours"), pictures("ours"), {}
    with record_attention(model, found.__setitem__):
        model(images)
    expected = {("attention", None, None): found[2].mean(1)[:, 0], ("attention", 1, None): found[1].mean(1)[:, 0],
                ("attention", -3, 1): found[0][:, 1, 0], ("attention", None, -2): found[2][:, 0, 0],
                ("rollout", None, None): rollout(model, images)[:, 0],
                ("relevance", None, None): relevance(model, images)}
    for (method, layer, head), row in expected.items():
        shares = row[:, 1:] / row[:, 1:].sum(1, keepdim=True)
        torch.testing.assert_close(explain(model, images, method, layer=layer, head=head), shares.view(2, 2, 3))
    targets = torch.tensor([3, 0])
    torch.testing.assert_close(explain(model, images, "relevance", target=targets)[:1],
                               explain(model, images[:1], "relevance", target=3))


def test_with_mean_pooling_each_method_is_the_mean_over_the_patches_rows(make, pictures):
    """The relevance of tokens to a mean over patches is the mean of their relevance to each patch."""
    plain, images, found = make("ours"), pictures("ours"), {}
    model = make_model(replace(plain.config, pool="mean")).eval()
    model.load_state_dict(plain.state_dict())
    with record_attention(model, found.__setitem__):
        model(images)
    expected = {"attention": found[2].mean(1)[:, 1:].mean(1), "rollout": rollout(model, images)[:, 1:].mean(1)}
    r = torch.eye(found[0].shape[-1]).repeat(2, 1, 1)
    for step in steps_of_relevance(model, images):
        r = r + step @ r
    torch.testing.assert_close(relevance(model, images), r[:, 1:].mean(1))
    for method, row in (expected | {"relevance": r[:, 1:].mean(1)}).items():
        shares = row[:, 1:] / row[:, 1:].sum(1, keepdim=True)
        torch.testing.assert_close(explain(model, images, method), shares.view(2, 2, 3))


def steps_of_relevance(model, images):
    """mean over heads of (∇A ⊙ A)⁺ of every layer, from input to output."""
    weights, logits = _forward(model, images)
    gradients = torch.autograd.grad(logits.max(1).values.sum(), weights)
    return [(a * gradient).clamp(min=0).mean(1).detach() for a, gradient in zip(weights, gradients, strict=True)]


def test_no_relevance_is_zero_everywhere(make, pictures):
    """A new head is zero: no attention changes any logit."""
    model = make("transfer")
    with torch.no_grad():
        model.head.weight.zero_()
    assert (explain(model, pictures("transfer"), "relevance") == 0).all()


@pytest.mark.parametrize(("choice", "message"), [
    ({"method": "gradcam"}, 'method "gradcam" is unknown: attention, rollout, relevance'),
    ({"method": "rollout", "layer": 0}, "rollout uses all layers and heads"),
    ({"method": "relevance", "head": 0}, "relevance uses all layers and heads"),
    ({"method": "attention", "target": 1}, "attention is the same for all classes"),
    ({"method": "attention", "layer": 3}, "layer 3 does not exist: the model has 3 layers, 0 to 2"),
    ({"method": "attention", "head": 2}, "head 2 does not exist: the layer has 2 heads, 0 to 1"),
    ({"method": "relevance", "target": 5}, "class 5 does not exist: the model has 5 classes, 0 to 4"),
])
def test_a_wrong_choice_is_one_line(choice, message, make, pictures):
    for kind in ("ours", "torchvision", "transfer"):
        with pytest.raises(ValueError, match=message):
            explain(make(kind), pictures(kind), **choice)


def test_captions_count_from_1(make):
    model = make("ours")
    assert describe(model, "rollout") == "rollout"
    assert describe(model, "attention") == "attention, layer 3 of 3, mean of 2 heads"
    assert describe(model, "attention", 0, -1) == "attention, layer 1 of 3, head 2 of 2"
