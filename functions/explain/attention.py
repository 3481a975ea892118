"""Attention weights of chosen layers during inference; training keeps the fused attention, which never forms them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from functions.runtime.errors import UserError
from models.vit import ViT


def network_of(model: nn.Module) -> nn.Module:
    """The Vision Transformer itself: a transfer model's backbone, otherwise the model."""
    return model.get_submodule("backbone") if hasattr(model, "backbone") else model


def attention_layers(model: nn.Module) -> list[nn.MultiheadAttention]:
    """The self-attention modules of a Vision Transformer, from input to output.

    `model` is a ViT, a hybrid, torchvision's VisionTransformer or a TransferModel of one. Raises UserError for a
    network without self-attention, such as a ResNet.
    """
    network = network_of(model)
    layers = [module for module in network.modules() if isinstance(module, nn.MultiheadAttention)]
    if not layers:
        raise UserError(f"attention maps need a Vision Transformer: {type(network).__name__} has no self-attention")
    return layers


def patch_grid(model: nn.Module) -> tuple[int, int]:
    """The patches of the model's images, down and across: (H/P, W/P). Raises UserError like `attention_layers`."""
    attention_layers(model)
    network = network_of(model)
    if isinstance(network, ViT):
        return network.config.grid
    torchvisions: Any = network                                         # its VisionTransformer: squares
    side, patch = torchvisions.image_size, torchvisions.patch_size
    _, height, width = getattr(network, "expected", (3, side, side))    # an AnySizeViT knows both sides
    return height // patch, width // patch


def reads_class_token(model: nn.Module) -> bool:
    """Whether the classifier reads the class token (Eq. 4); else it reads the mean over the patches (`pool`)."""
    return getattr(getattr(network_of(model), "config", None), "pool", "cls") == "cls"


def pooled_row(model: nn.Module, weights: Tensor) -> Tensor:
    """The row of what the classifier reads, (…, N + 1, N + 1) → (…, N + 1): the class token's, or the patches' mean."""
    return weights[..., 0, :] if reads_class_token(model) else weights[..., 1:, :].mean(dim=-2)


def layer_index(model: nn.Module, layer: int) -> int:
    """The layer's number from 0; negative numbers count from the last. Raises UserError if it does not exist."""
    count = len(attention_layers(model))
    if not -count <= layer < count:
        raise UserError(f"layer {layer} does not exist: the model has {count} layers, 0 to {count - 1}")
    return layer % count


def project(layer: nn.MultiheadAttention, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[q, k, v] = z U_qkv (Eq. 5) by heads: tokens (B, N + 1, D) → (B, k, N + 1, D_h) each, in float32 or better."""
    dtype = torch.promote_types(z.dtype, torch.float32)
    with torch.autocast(z.device.type, enabled=False):
        qkv = F.linear(z.to(dtype), layer.in_proj_weight.to(dtype), layer.in_proj_bias.to(dtype))
    q, k, v = (part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    return q, k, v


def softmax_weights(q: Tensor, k: Tensor) -> Tensor:
    """A = softmax(q kᵀ / √D_h) (Eq. 6): (B, k, n, D_h) and (B, k, N + 1, D_h) → (B, k, n, N + 1), rows sum to 1."""
    with torch.autocast(q.device.type, enabled=False):
        return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)


def attention_weights(layer: nn.MultiheadAttention, z: Tensor) -> Tensor:
    """A (Eq. 6) of one layer for its input, tokens (B, N + 1, D) after LayerNorm: (B, k, N + 1, N + 1)."""
    q, k, _ = project(layer, z)
    return softmax_weights(q, k)


def check_inference(model: nn.Module) -> None:
    """Raises UserError for a model in training mode."""
    if model.training:
        raise UserError("attention is recorded in inference only, and the model is in training mode: call model.eval()")


@contextmanager
def record_attention(model: nn.Module, receive: Callable[[int, Tensor], object],
                     layers: Sequence[int] | None = None) -> Iterator[None]:
    """Within this context, every call of `model` also calls receive(layer, A) for each of `layers` (default: all).

    A (B, k, N + 1, N + 1), in float32 or better, equals the weights of nn.MultiheadAttention(need_weights=True,
    average_attn_weights=False); it is complete in the last layer, too, where a ViT computes the class token's row only.
    A is computed from the layer's input next to the model's own fused attention, so the logits are unchanged and no A
    outlives its `receive`. Layers arrive from input to output. A frozen backbone that works in chunks (`TransferModel`)
    passes all layers of one chunk before the next one; its padding is left out. Calls of parts of the model are not
    recorded. Raises UserError in training mode, for a network without attention and for a layer that does not exist.
    """
    check_inference(model)
    modules = attention_layers(model)
    chosen = range(len(modules)) if layers is None else sorted({layer_index(model, layer) for layer in layers})
    network = network_of(model)
    left = rows = 0           # images that are still to come in this call of the model; images of this chunk

    def begin(module, args, kwargs):
        nonlocal left
        check_inference(model)
        left = len((*args, *kwargs.values())[0])

    def begin_chunk(module, args, kwargs):
        nonlocal left, rows
        rows = min(left, len((*args, *kwargs.values())[0]))
        left -= rows

    def end(module, args, output):
        nonlocal left, rows
        left = rows = 0

    def recorder(layer: int):
        def record(module, args):
            if rows:
                z = args[0][:rows]
                with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
                    receive(layer, attention_weights(module, z))
        return record

    hooks = [model.register_forward_pre_hook(begin, with_kwargs=True),
             network.register_forward_pre_hook(begin_chunk, with_kwargs=True),
             model.register_forward_hook(end, always_call=True),
             *(modules[layer].register_forward_pre_hook(recorder(layer)) for layer in chosen)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
