import pytest
import torch
from torch import nn

from functions.explain.attention import attention_layers
from functions.explain.relevance import relevance
from models.transfer import TransferModel
from tests.functions.explain.conftest import KINDS


class PlainAttention(nn.Module):
    """Eq. 5–8 written out on nn.MultiheadAttention's parameters; its weights are kept for their gradient."""

    def __init__(self, layer):
        super().__init__()
        self.inner, self.ours = layer, type(layer) is not nn.MultiheadAttention

    def forward(self, z, *others, **options):
        shape = (*z.shape[:2], self.inner.num_heads, -1)
        qkv = z @ self.inner.in_proj_weight.T + self.inner.in_proj_bias
        q, k, v = (part.reshape(shape) for part in qkv.tensor_split(3, dim=-1))
        scores = torch.exp(torch.einsum("bikd,bjkd->bkij", q, k) / q.shape[-1] ** 0.5)
        self.weights = scores / scores.sum(-1, keepdim=True)
        heads = torch.einsum("bkij,bjkd->bikd", self.weights, v).reshape(z.shape)
        out = heads @ self.inner.out_proj.weight.T + self.inner.out_proj.bias
        return out[:, :others[0] if others else None] if self.ours else (out, None)


def reference(model, images, target):
    """Chefer et al.'s rule, R ← R + Ā R, with all matrices and gradients at once."""
    layers = attention_layers(model)
    names = {id(module): name for name, module in model.named_modules()}
    for layer in layers:
        model.set_submodule(names[id(layer)], PlainAttention(layer))
    plain = [module for module in model.modules() if isinstance(module, PlainAttention)]
    model.requires_grad_(True)
    logits = model.head(model.backbone(images)) if isinstance(model, TransferModel) else model(images)
    found = []
    for i, k in enumerate(target):
        gradients = torch.autograd.grad(logits[i, k], [p.weights for p in plain], retain_graph=True)
        r = torch.eye(plain[0].weights.shape[-1])
        for p, gradient in zip(plain, gradients, strict=True):
            r = r + (gradient[i] * p.weights[i]).clamp(min=0).mean(0) @ r
        found.append(r[0].detach())
    return torch.stack(found)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_papers_rule(kind, make, pictures):
    model, images = make(kind), pictures(kind, 3)
    target = torch.tensor([4, 0, 2])
    with torch.no_grad():                        # of the caller: does not matter
        found = relevance(model, images, target)
        other = relevance(model, images, torch.tensor([1, 1, 1]))
    expected = reference(make(kind), images, target.tolist())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert (found >= 0).all()
    assert (found[:, 1:] - other[:, 1:]).abs().max() > 1e-3, "another class must have another map"
    assert not found.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_touches_no_parameter_and_explains_the_predicted_class(kind, make, pictures):
    model, images = make(kind), pictures(kind)
    next(model.parameters()).grad = torch.full_like(next(model.parameters()), 7.0)
    before = {name: (p.clone(), p.requires_grad) for name, p in model.named_parameters()}
    with torch.inference_mode():
        predicted = model(images).argmax(1)
        found = relevance(model, images)
    torch.testing.assert_close(found, relevance(model, images, predicted.clone()), atol=1e-5, rtol=1e-4)
    first, *others = model.parameters()
    assert (first.grad == 7).all()
    assert all(p.grad is None for p in others)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name][0])
        assert p.requires_grad == before[name][1]
    assert not [module for module in model.modules() if module._forward_hooks]


def test_of_one_image_does_not_depend_on_the_others(make, pictures):
    model, images = make("ours"), pictures("ours", 5)
    torch.testing.assert_close(relevance(model, images)[3:4], relevance(model, images[3:4]))


def test_training_mode_is_refused(make, pictures):
    with pytest.raises(ValueError, match="inference only"):
        relevance(make("ours").train(), pictures("ours"))
    with pytest.raises(ValueError, match="inference only"):
        relevance(make("transfer").train(), pictures("transfer"))
