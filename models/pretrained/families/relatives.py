"""Tensors of a network near the plain Vision Transformer → those of a plain one with the same outputs."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from models.pretrained.families.layer_scale import fold_layer_scale
from models.pretrained.position_embeddings import is_square

# What only pre-training needs: (pattern of names, what it is).
DECODER, MASK = "the decoder of a masked autoencoder", "the mask token"
LEFT_OUT = [(r"decoder[._].+", DECODER), (r"(embeddings\.)?mask_token", MASK)]


@dataclass(frozen=True)
class Plain:
    """Tensors of a plain ViT under the names of their library, and what the others said of the network."""

    tensors: dict[str, Tensor]
    family: str                          # DINOv2, DeiT III, MAE, CLIP; "" for others
    pool: str                            # as in ViTConfig
    resizing: str                        # a key of position_embeddings.MODES, where it is not the library's; else ""
    notes: tuple[str, ...]


def to_plain(source: str, tensors: dict[str, Tensor], clip: str = "") -> Plain:
    """LayerScale folded, decoder and mask token left out, the norm after the pooling named as the last norm.

    CLIP's patch embedding, and q, k and v of a network that has no bias there, get biases of zeros. `clip` is the
    layout that the names had (families/clip.py). UserError as of `fold_layer_scale`.
    """
    notes, gone_parts = [], set()
    for pattern, what in LEFT_OUT if source in ("timm", "huggingface") else ():
        if gone := [name for name in tensors if re.fullmatch(pattern, name)]:
            tensors = {name: tensor for name, tensor in tensors.items() if name not in gone}
            notes.append(f"{what} is left out ({len(gone)} tensor{'s' * (len(gone) > 1)})")
            gone_parts.add(what)
    tensors, folded = fold_layer_scale(source, tensors)
    if folded:
        notes.append(f"LayerScale is folded into {folded} dense layers")
    if source in ("timm", "huggingface") and (biases := _absent_biases(tensors)):
        tensors = tensors | biases
        notes.append("q, k and v have no bias in the source: it is 0")
    pool = "cls"
    if source == "timm" and "fc_norm.weight" in tensors and "norm.weight" not in tensors:
        pool = "mean_then_norm"
        tensors = {re.sub(r"^fc_norm\.", "norm.", name): tensor for name, tensor in tensors.items()}
    family, resizing, kernel = "MAE" if DECODER in gone_parts else "", "", tensors.get("patch_embed.proj.weight")
    if source == "timm" and "norm_pre.weight" in tensors:
        family, resizing = "CLIP", "huggingface" if clip == "huggingface" else ""
        if kernel is not None and kernel.ndim and "patch_embed.proj.bias" not in tensors:
            tensors = tensors | {"patch_embed.proj.bias": torch.zeros(len(kernel))}
    positions = tensors.get("pos_embed")
    if folded and positions is not None and positions.ndim == 3 and is_square(positions.shape[1]):
        family = "DeiT III"
    elif folded and (source == "huggingface" or kernel is not None and kernel.shape[-1:] == (14,)):
        family = "DINOv2"
        resizing = "dinov2" if source == "timm" and MASK in gone_parts else ""
    return Plain(tensors, family, pool, resizing, tuple(notes))


def _absent_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Zeros (3D,) for the biases of q, k and v, if no block has one."""
    weights = [name for name in tensors if re.search(r"\.(attn|attention)\.qkv\.weight$", name)]
    biases = {name.removesuffix("weight") + "bias": tensors[name] for name in weights}
    return {} if biases.keys() & tensors.keys() else {name: torch.zeros(weight.shape[:1])
                                                      for name, weight in biases.items()}
