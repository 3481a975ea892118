"""Gradient-weighted relevance: which tokens' attention raises the logit of a class."""

from functools import partial

import torch
from torch import Tensor, nn

from functions.explain.attention import (
    attention_layers,
    check_inference,
    network_of,
    project,
    reads_class_token,
    softmax_weights,
)


def relevance(model: nn.Module, images: Tensor, target: Tensor | None = None) -> Tensor:
    """The class token's row of R = (I + Ā_L) ⋯ (I + Ā_1), Ā = mean over heads of (∇A ⊙ A)⁺: images → (B, N + 1).

    ∇A is the gradient of the logit of the class `target` (B,) (default: the predicted class) by the attention weights.
    Relevance is at least 0. The row is multiplied from the last layer to the first, as backpropagation reaches them, so
    that no gradient is kept. Of a network with mean pooling it is the mean over the patches' rows. Parameters and their
    .grad are not touched. A frozen backbone is computed without its chunks. Raises UserError in training mode and for a
    network without attention.
    Source: Chefer, Gur and Wolf 2021, arXiv 2103.15679, Eq. 5 and 6: R ← R + Ā R from R = I.
    """
    check_inference(model)
    with torch.inference_mode(False), torch.enable_grad():
        weights, logits = _forward(model, images.clone())
        if target is None:
            target = logits.argmax(dim=1)
        row = torch.zeros(len(images), weights[0].shape[-1], dtype=weights[0].dtype, device=logits.device)
        if reads_class_token(model):
            row[:, 0] = 1                                                   # the class token's row of I
        else:
            row[:, 1:] = 1 / (row.shape[1] - 1)                             # the mean over the patches' rows of I

        def multiply(a: Tensor, gradient: Tensor) -> None:
            step = (a * gradient).clamp(min=0).mean(dim=1)                  # Ā: (B, n, N + 1), the first n of its rows
            row.add_((row[:, None, :step.shape[1]] @ step)[:, 0])           # r ← r (I + Ā)

        for a in weights:
            a.register_hook(partial(multiply, a.detach()))
        chosen = logits.gather(1, target.to(logits.device)[:, None]).sum()
        torch.autograd.grad(chosen, weights[0])                             # passes every layer on its way
    return row.detach()


def _forward(model: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """(A of every layer, logits), computed through A in place of the fused attention, so that A has gradients."""
    weights: list[Tensor] = []

    def attend(layer, args, kwargs, output):
        z, tokens = args[0], args[1] if isinstance(output, Tensor) and len(args) > 1 else None     # ours / torch's
        q, k, v = project(layer, z)
        a = softmax_weights(q[:, :, :tokens], k)
        if not a.requires_grad:                   # the first layer of a frozen network
            a.requires_grad_()
        weights.append(a)
        with torch.autocast(z.device.type, enabled=False):
            heads = (a @ v).transpose(1, 2).flatten(2)
        attended = layer.out_proj(heads.to(layer.out_proj.weight.dtype))
        return attended if isinstance(output, Tensor) else (attended, None)

    hooks = [layer.register_forward_hook(attend, with_kwargs=True) for layer in attention_layers(model)]
    try:
        network = network_of(model)
        logits = model(images) if network is model else model.get_submodule("head")(network(images))
    finally:
        for hook in hooks:
            hook.remove()
    return weights, logits.float()
