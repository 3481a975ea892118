"""The authors' JAX arrays → torch's axis order and this project's names.

Flax stores a dense kernel as (in, out), a convolution's as (height, width, in, out), and attention kernels with an axis
for the heads: query, key and value (D, k, D/k), out (k, D/k, D).
Sources: google-research/vision_transformer, vit_jax/models_vit.py; google-research/big_vision, models/vit.py.
"""

import re

import torch
from torch import Tensor

from functions.runtime.errors import UserError

PREFIXES = ("opt/target/", "params/", "")
SPELLINGS = [(r"/MultiHeadDotProductAttention_[01]/", "/attention/"), (r"/MlpBlock_[03]/", "/mlp/"),
             (r"/LayerNorm_[12]/", "/norm2/"), (r"/LayerNorm_0/", "/norm1/")]


def to_torch_layout(arrays: dict[str, Tensor]) -> tuple[dict[str, Tensor], int | None, list[str]]:
    """(tensors under this project's names, k heads, notes); unknown names are kept, and the caller rejects them."""
    named, notes = without_prefix(arrays)
    named = renamed("jax", named, SPELLINGS)
    tensors: dict[str, Tensor] = {}
    blocks: dict[int, dict[str, Tensor]] = {}
    for name, array in named.items():
        if "." in name:                                      # never in theirs; it could pass for one of ours
            raise UserError(f"jax weights: {name} is an unexpected tensor")
        if found := re.fullmatch(r"Transformer/encoderblock_(\d+)/(.+)", name):
            blocks.setdefault(int(found[1]), {})[found[2]] = array
        else:
            top = _top(name, array)
            if top.keys() & tensors.keys():
                raise UserError(f"jax weights: {name} is a duplicate of another array of the same meaning")
            tensors |= top
    for i, block in blocks.items():
        tensors |= _block(f"encoder.{i}.", block)
    heads = {array.shape[1] for name, array in named.items() if name.endswith("attention/query/kernel")}
    if len(heads) > 1:
        raise UserError(f"jax weights: blocks of {min(heads)} heads and of {max(heads)}, where all have one number")
    return tensors, heads.pop() if heads else None, notes


def renamed(source: str, tensors: dict[str, Tensor], spellings: list[tuple[str, str]]) -> dict[str, Tensor]:
    """The tensors under normalised names; UserError if two get the same name."""
    new: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        one = name
        for pattern, replacement in spellings:
            one = re.sub(pattern, replacement, one)
        if one in new:
            other = next(known for known in tensors if known != name and new[one] is tensors[known])
            raise UserError(f"{source} weights: {name} is a duplicate of {other}, another spelling of it")
        new[one] = tensor
    return new


def without_prefix(arrays: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """(the network's arrays without their common prefix; a note if an optimiser's were left out)."""
    prefix = next(prefix for prefix in PREFIXES if all(name.startswith((prefix, "opt/state/")) for name in arrays)
                  and any(name.startswith(prefix) for name in arrays))
    state = [name for name in arrays if name.startswith("opt/state/") and prefix == "opt/target/"]
    notes = [f"{len(state)} tensors of the optimiser's state are left out"] if state else []
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name not in state}, notes


def _top(name: str, array: Tensor) -> dict[str, Tensor]:
    if name == "embedding/kernel":
        return {"patch_embedding.project.weight": _check_ndim(name, array, 4).permute(3, 2, 0, 1).contiguous()}
    if name == "pos_embedding":                              # big_vision's: of the patches alone
        array = _check_ndim(name, array, 3)
        return {"patch_embedding.positions": torch.cat([torch.zeros_like(array[:, :1]), array], dim=1)}
    if name in ("head/kernel", "pre_logits/kernel"):
        array = _check_ndim(name, array, 2).T.contiguous()
    plain = {"embedding/bias": "patch_embedding.project.bias", "cls": "patch_embedding.class_token",
             "Transformer/posembed_input/pos_embedding": "patch_embedding.positions",
             "Transformer/encoder_norm/scale": "norm.weight", "Transformer/encoder_norm/bias": "norm.bias",
             "head/kernel": "classifier.weight", "head/bias": "classifier.bias"}
    return {plain.get(name, name): array}


def _block(prefix: str, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """One encoder block; q, k and v concatenated, as nn.MultiheadAttention stores them."""
    left, tensors = dict(arrays), {}

    def move(theirs: str, ours: str, transposed: bool = False) -> None:
        if theirs in left:
            array = left.pop(theirs)
            tensors[prefix + ours] = _check_ndim(theirs, array, 2).T.contiguous() if transposed else array

    for theirs, ours in (("norm1", "msa_block.norm"), ("norm2", "mlp_block.norm")):
        move(f"{theirs}/scale", f"{ours}.weight")
        move(f"{theirs}/bias", f"{ours}.bias")
    for theirs, ours in (("mlp/Dense_0", "mlp_block.mlp.0"), ("mlp/Dense_1", "mlp_block.mlp.3")):
        move(f"{theirs}/kernel", f"{ours}.weight", transposed=True)
        move(f"{theirs}/bias", f"{ours}.bias")
    qkv = [f"attention/{part}" for part in ("query", "key", "value")]
    for what in ("kernel", "bias"):
        if 0 < len(missing := [part for part in qkv if f"{part}/{what}" not in left]) < 3:
            raise UserError(f"jax weights: {prefix}{missing[0]}/{what} is missing")
    _check_attention(prefix, left, qkv)
    if all(f"{part}/kernel" in left for part in qkv):        # (D, k, D/k) each
        kernels = [_check_ndim(f"{part}/kernel", left.pop(f"{part}/kernel"), 3).flatten(1).T for part in qkv]
        tensors[f"{prefix}msa_block.attention.in_proj_weight"] = torch.cat(kernels)
    if all(f"{part}/bias" in left for part in qkv):          # (k, D/k) each
        biases = [left.pop(f"{part}/bias").flatten() for part in qkv]
        tensors[f"{prefix}msa_block.attention.in_proj_bias"] = torch.cat(biases)
    if "attention/out/kernel" in left:                       # (k, D/k, D)
        kernel = _check_ndim("attention/out/kernel", left.pop("attention/out/kernel"), 3)
        tensors[f"{prefix}msa_block.attention.out_proj.weight"] = kernel.flatten(0, 1).T.contiguous()
    move("attention/out/bias", "msa_block.attention.out_proj.bias")
    return tensors | {prefix + name: array for name, array in left.items()}


def _check_attention(prefix: str, arrays: dict[str, Tensor], qkv: list[str]) -> None:
    """UserError unless the number of heads and their dimension, k and D/k, agree in all of a block's attention."""
    if "attention/query/kernel" not in arrays:
        return
    width, heads, deep = _check_ndim("attention/query/kernel", arrays["attention/query/kernel"], 3).shape
    shapes: dict[str, tuple[int, ...]] = {"attention/out/kernel": (heads, deep, width)}
    shapes |= {f"{part}/kernel": (width, heads, deep) for part in qkv} | {f"{part}/bias": (heads, deep) for part in qkv}
    for name, shape in shapes.items():
        if name in arrays and tuple(_check_ndim(name, arrays[name], len(shape)).shape) != shape:
            raise UserError(f"jax weights: {prefix}{name} is {tuple(arrays[name].shape)}, expected {shape}")


def _check_ndim(name: str, array: Tensor, count: int) -> Tensor:
    if array.ndim != count:
        raise UserError(f"jax weights: {name} has {array.ndim} axes, not {count}")
    return array
