"""One map per image: how the class token's attention, its rollout or its relevance is distributed over the patches.

In a network that reads the mean over patches in place of the class token, it is the mean over their rows.
"""

from typing import Any

import torch
from torch import Tensor, nn

from functions.explain.attention import attention_layers, layer_index, patch_grid, pooled_row, record_attention
from functions.explain.relevance import relevance
from functions.explain.rollout import rollout
from functions.runtime.errors import UserError

METHODS = ("attention", "rollout", "relevance")


def explain(model: nn.Module, images: Tensor, method: str = "rollout", *, layer: int | None = None,
            head: int | None = None, target: int | Tensor | None = None) -> Tensor:
    """Maps (B, H/P, W/P) of images (B, C, H, W): each patch's share, at least 0, summing to 1 over an image's patches.

    `method` is one of METHODS:

    - "attention": the class token's attention weights in one layer (default: the last) and head (default: the mean)
    - "rollout": all layers multiplied, with the residuals (`functions.explain.rollout`)
    - "relevance": weighted by the gradient of the logit of the class `target`, one index or one per image (default: the
      predicted class) (`functions.explain.relevance`)

    The class token's share of itself is left out before the division. A map without any relevance is 0 everywhere.
    Layers and heads count from 0, negative numbers from the last. Raises UserError for a network without attention or
    in training mode, and for a method, layer, head or class that does not exist or that the method does not use.
    """
    check_choice(model, method, layer, head, target)
    if method == "attention":
        rows = class_attention(model, images, -1 if layer is None else layer, head)
    elif method == "rollout":
        rows = pooled_row(model, rollout(model, images))
    else:
        rows = relevance(model, images, None if target is None else _targets(target, images))
    patches = rows[:, 1:].unflatten(1, patch_grid(model))                         # (B, H/P, W/P)
    return patches / patches.sum(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(patches.dtype).tiny)


@torch.no_grad()
def class_attention(model: nn.Module, images: Tensor, layer: int = -1, head: int | None = None) -> Tensor:
    """The class token's row of A in one layer, of one head or the mean over heads: (B, N + 1), summing to 1.

    Of a network with mean pooling, the mean over the patches' rows.
    """
    rows: list[Tensor] = []

    def keep(_: int, weights: Tensor) -> None:
        row = pooled_row(model, weights)                                          # (B, k, N + 1)
        rows.append(row.mean(dim=1) if head is None else row[:, head].clone())

    with record_attention(model, keep, layers=[layer]):
        model(images)
    return torch.cat(rows)


def check_choice(model: nn.Module, method: str, layer: int | None = None, head: int | None = None,
                 target: int | Tensor | None = None) -> None:
    """Raises UserError for a method, layer, head or class that does not exist or that the method does not use."""
    if method not in METHODS:
        raise UserError(f'method "{method}" is unknown: {", ".join(METHODS)}')
    if method != "attention" and (layer is not None or head is not None):
        raise UserError(f"{method} uses all layers and heads: layer and head are for attention")
    if method != "relevance" and target is not None:
        raise UserError(f"{method} is the same for all classes: target is for relevance")
    layers = attention_layers(model)
    heads = layers[layer_index(model, -1 if layer is None else layer)].num_heads
    if head is not None and not -heads <= head < heads:
        raise UserError(f"head {head} does not exist: the layer has {heads} heads, 0 to {heads - 1}")
    classes: Any = getattr(model, "config", model).num_classes          # torchvision's network has no config
    if target is not None and not bool(((torch.as_tensor(target) >= 0) & (torch.as_tensor(target) < classes)).all()):
        raise UserError(f"class {target} does not exist: the model has {classes} classes, 0 to {classes - 1}")


def describe(model: nn.Module, method: str, layer: int | None = None, head: int | None = None) -> str:
    """The map's name for a caption, with layers and heads counted from 1: "attention, layer 12 of 12, mean of 3 heads".
    """
    if method != "attention":
        return method
    layers = attention_layers(model)
    number = layer_index(model, -1 if layer is None else layer)
    heads = layers[number].num_heads
    which = f"mean of {heads} heads" if head is None else f"head {head % heads + 1} of {heads}"
    return f"attention, layer {number + 1} of {len(layers)}, {which}"


def _targets(target: int | Tensor, images: Tensor) -> Tensor:
    return torch.as_tensor(target, device=images.device).expand(len(images))
