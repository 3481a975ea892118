"""Whose weights are these? Every library's names and axis orders → ours, strictly: each tensor used once, none left.

Names and layouts: torchvision/models/vision_transformer.py; timm/models/vision_transformer.py; transformers,
models/vit/modeling_vit.py (5.x, and the 4.x names that files on its hub still carry); the authors' in layouts_jax.py;
fbrynpk/ViT-Dementia, and the course it follows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from functions.errors import UserError
from models.layouts_jax import renamed, to_torch_layout

# LayerNorm's epsilon and the GELU's form are not in a file of weights: they go with the source.
FORMS = {"torchvision": (1e-6, "none"), "timm": (1e-6, "none"), "huggingface": (1e-12, "none"), "jax": (1e-6, "tanh"),
         "replicated": (1e-5, "none"), "ours": (1e-6, "none")}
MARKS = {"torchvision": "conv_proj.weight", "timm": "patch_embed.proj.weight", "ours": "patch_embedding.class_token",
         "huggingface": "embeddings.cls_token", "replicated": "class_embedding", "jax": "embedding/kernel"}

# Ours → theirs. What ends in a dot stands for a module's weight and bias.
TOP = {
    "torchvision": {"patch_embedding.project.": "conv_proj.", "patch_embedding.class_token": "class_token",
                    "patch_embedding.positions": "encoder.pos_embedding", "norm.": "encoder.ln.",
                    "classifier.": "heads.head."},
    "timm": {"patch_embedding.project.": "patch_embed.proj.", "patch_embedding.class_token": "cls_token",
             "patch_embedding.positions": "pos_embed", "norm.": "norm.", "classifier.": "head."},
    "replicated": {"patch_embedding.project.": "patch_embedding_layer.patcher.",
                   "patch_embedding.class_token": "class_embedding", "patch_embedding.positions": "position_embedding",
                   "norm.": "classifier.0.", "classifier.": "classifier.1."},
    "huggingface": {"patch_embedding.project.": "embeddings.patch_embeddings.projection.",
                    "patch_embedding.class_token": "embeddings.cls_token",
                    "patch_embedding.positions": "embeddings.position_embeddings", "norm.": "layernorm.",
                    "classifier.": "classifier."},
}
OURS = ["msa_block.norm.", "msa_block.attention.in_proj_weight", "msa_block.attention.in_proj_bias",
        "msa_block.attention.out_proj.", "mlp_block.norm.", "mlp_block.mlp.0.", "mlp_block.mlp.3."]
BLOCK = {
    "torchvision": ("encoder.layers.encoder_layer_{}.", ["ln_1.", "self_attention.in_proj_weight",
                    "self_attention.in_proj_bias", "self_attention.out_proj.", "ln_2.", "mlp.0.", "mlp.3."]),
    "timm": ("blocks.{}.", ["norm1.", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.", "norm2.", "mlp.fc1.",
                            "mlp.fc2."]),
    "replicated": ("transformer_encoder.{}.", ["msa_block.layer_norm.", "msa_block.multihead_attention.in_proj_weight",
                   "msa_block.multihead_attention.in_proj_bias", "msa_block.multihead_attention.out_proj.",
                   "mlp_block.layer_norm.", "mlp_block.mlp.0.", "mlp_block.mlp.3."]),
    "huggingface": ("layers.{}.", ["layernorm_before.", "attention.qkv.weight", "attention.qkv.bias",
                    "attention.o_proj.", "layernorm_after.", "mlp.fc1.", "mlp.fc2."]),
}
# Older and other spellings of the same names, (pattern, replacement), applied in this order.
SPELLINGS = {
    "torchvision": [(r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")],
    "replicated": [(r"^patch_embedding\.patcher\.", "patch_embedding_layer.patcher."),
                   (r"\.multihead_attn\.", ".multihead_attention.")],
    "huggingface": [(r"^vit\.", ""), (r"^encoder\.layer\.", "layers."),
                    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
                    (r"\.attention\.attention\.(q|k|v)[a-z]+\.", r".attention.\1."),
                    (r"\.attention\.(q|k|v)_proj\.", r".attention.\1."),
                    (r"\.intermediate\.dense\.", ".mlp.fc1."), (r"(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2.")],
}
# What may be left out: a pre-training head's hidden layer, and the pooler of a bare ViTModel.
HIDDEN = {"torchvision": ("heads.pre_logits.weight", "heads.pre_logits.bias"),
          "timm": ("pre_logits.fc.weight", "pre_logits.fc.bias"), "jax": ("pre_logits/kernel", "pre_logits/bias")}
POOLER = {"pooler.dense.weight", "pooler.dense.bias"}


@dataclass(frozen=True)
class Converted:
    """Weights under the names of models.vit.ViT, and what goes with their source."""

    source: str                          # torchvision, timm, huggingface, jax, replicated or ours
    weights: dict[str, Tensor]           # without classifier if there was none, or none that stands on y itself
    norm_eps: float
    gelu: str
    grid: tuple[int, int] | None         # of the positions, rows and columns, if our own configuration says so
    num_heads: int | None                # where the source says it; the shapes of most do not
    left_out_classes: int | None         # of a head that stood on a hidden layer and was left out with it
    notes: tuple[str, ...] = ()


def recognise(names: Iterable[str]) -> str:
    """Whose names these are: torchvision, timm, huggingface, jax, replicated or ours; ValueError if nobody's known."""
    names = set(names)
    for source, mark in MARKS.items():
        if any(name == mark or name.endswith(f"/{mark}") or name == f"vit.{mark}" for name in names):
            return source
    some = ", ".join(sorted(names)[:3])
    raise UserError(f"these tensors ({some}, …) are of no Vision Transformer known here: {', '.join(MARKS)}")


def convert(tensors: dict[str, Tensor], config: dict | None = None) -> Converted:
    """Anybody's tensors → ours; `config` is that of our own checkpoints, which brings epsilon, GELU and grid.

    Raises ValueError, naming the tensor, for one that is missing, has no place, or has the wrong number of axes.
    """
    tensors = _without_backbone({name: _tensor(name, value) for name, value in tensors.items()})
    source = recognise(tensors)
    norm_eps, gelu = FORMS[source]
    notes, grid, num_heads = [], None, (config or {}).get("num_heads")
    norm_eps, gelu = (config or {}).get("norm_eps", norm_eps), (config or {}).get("gelu", gelu)
    if config and "patch_size" in config:
        grid = tuple(side // config["patch_size"] for side in config["image_size"])
    if source == "jax":
        tensors, num_heads, more = to_torch_layout(tensors)             # under our own names
        notes += more
    else:
        tensors = renamed(source, tensors, SPELLINGS.get(source, []))
    if source == "huggingface":
        tensors = _fused(tensors)
        if POOLER & tensors.keys():
            notes.append("the pooler, which no classifier reads, is left out")
            tensors = {name: tensor for name, tensor in tensors.items() if name not in POOLER}
    hidden = [name for name in HIDDEN.get(source, ()) if name in tensors]
    if len(hidden) == 1:
        raise UserError(f"{source} weights: {hidden[0]} stands alone, weight or bias of this layer is missing")
    names = _names("ours" if source == "jax" else source, tensors)
    left_out = None
    if hidden:
        head = [names[name] for name in ("classifier.weight", "classifier.bias") if names[name] in tensors]
        left_out = tensors[head[0]].shape[:1].numel() if head else None
        what = f"{left_out} classes on a hidden layer" if head else "a hidden layer"
        notes.append(f"the pre-training head, {what}, is left out (§3.2)")
        tensors = {name: tensor for name, tensor in tensors.items() if name not in (*hidden, *head)}
    if not any(name.startswith("classifier.") and theirs in tensors for name, theirs in names.items()):
        names = {name: theirs for name, theirs in names.items() if not name.startswith("classifier.")}
    if strange := sorted(set(tensors) - set(names.values())):
        raise UserError(f"{source} weights: {strange[0]} has no place in this ViT ({len(strange)} such tensors)")
    if missing := sorted(set(names.values()) - set(tensors)):
        raise UserError(f"{source} weights: {missing[0]} is missing ({len(missing)} such tensors)")
    weights = {name: tensors[theirs] for name, theirs in names.items()}
    _check_axes(source, weights, names)
    return Converted(source, weights, norm_eps, gelu, grid, num_heads, left_out, tuple(notes))


def _names(source: str, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Ours → theirs, every tensor of a ViT with as many blocks as there are."""
    if source == "ours":
        top, (prefix, block) = {name: name for name in TOP["timm"]}, ("encoder.{}.", OURS)
    else:
        top, (prefix, block) = TOP[source], BLOCK[source]
    pattern = re.escape(prefix).replace(r"\{\}", r"(\d+)")
    layers = {int(found[1]) for name in tensors if (found := re.match(pattern, name))}
    pairs = dict(top)
    for i in range(min(max(layers, default=-1) + 1, len(tensors))):     # no name makes this long
        pairs |= {f"encoder.{i}.{ours}": prefix.format(i) + theirs for ours, theirs in zip(OURS, block, strict=True)}
    names = {}
    for ours, theirs in pairs.items():
        ends = ("weight", "bias") if ours.endswith(".") else ("",)
        names |= {ours + end: theirs + end for end in ends}
    return names


def _tensor(name: str, value: object) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"{name} is {type(value).__name__}, not a tensor of numbers") from None


def _without_backbone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our fine-tuned networks: their backbone's own names, and the head's name in its library."""
    if not all(name.startswith(("backbone.", "head.")) for name in tensors) or "backbone.norm1" in tensors:
        return tensors
    inside = {name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}
    head = "classifier." if MARKS["ours"] in inside else "heads.head."
    return {re.sub(r"^head\.", head, name): tensor for name, tensor in inside.items()}


def _fused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """W_q, W_k, W_v (D, D) one above the other, as nn.MultiheadAttention keeps them: (3D, D); biases alike."""
    fused = dict(tensors)
    for name in tensors:
        if (found := re.fullmatch(r"(layers\.\d+\.attention)\.[qkv]\.(weight|bias)", name)) and name in fused:
            parts = [f"{found[1]}.{part}.{found[2]}" for part in "qkv"]
            if missing := [part for part in parts if part not in fused]:
                raise UserError(f"huggingface weights: {missing[0]} is missing")
            shapes = [tuple(fused[part].shape) for part in parts]
            if len(set(shapes)) > 1 or not shapes[0] or (whole := f"{found[1]}.qkv.{found[2]}") in fused:
                raise UserError(f"huggingface weights: {name} does not fit its like: {', '.join(map(str, shapes))}")
            fused[whole] = torch.cat([fused.pop(part) for part in parts])
    return fused


def _check_axes(source: str, weights: dict[str, Tensor], names: dict[str, str]) -> None:
    """ValueError, naming the source's tensor, for a shape that does not go with the others'; -1: of any length."""
    width = weights["patch_embedding.class_token"].numel()
    side = weights["patch_embedding.project.weight"].shape[-1:]
    first, head = (weights[name].shape[:1] if name in weights else ()
                   for name in ("encoder.0.mlp_block.mlp.0.weight", "classifier.weight"))
    shapes = {"in_proj_weight": (3 * width, width), "in_proj_bias": (3 * width,), "out_proj.weight": (width, width),
              "out_proj.bias": (width,), "norm.weight": (width,), "norm.bias": (width,), "mlp.0.bias": tuple(first),
              "mlp.0.weight": (*first, width), "mlp.3.weight": (width, *first), "mlp.3.bias": (width,),
              "class_token": (1, 1, width), "positions": (1, -1, width), "project.weight": (width, -1, *side, *side),
              "project.bias": (width,), "classifier.weight": (-1, width), "classifier.bias": tuple(head)}
    for name, tensor in weights.items():
        expected = next(shape for end, shape in shapes.items() if name.endswith(end))
        shape = tuple(tensor.shape)
        if len(shape) != len(expected) or any(b not in (-1, a) for a, b in zip(shape, expected, strict=True)):
            raise UserError(f"{source} weights: {names[name]} is {shape}, expected {expected}")
