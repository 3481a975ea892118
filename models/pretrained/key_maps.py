"""Maps of tensor names and axis orders from other libraries to this project's, strict: every tensor is used exactly
once.

Names and layouts: torchvision/models/vision_transformer.py; timm/models/vision_transformer.py; transformers,
models/vit/modeling_vit.py (5.x, and the 4.x names of files on its hub); the authors' in jax_keys.py;
fbrynpk/ViT-Dementia, and the course that it follows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from functions.runtime.errors import UserError
from models.pretrained.families.clip import clip_as_timm, clip_layout
from models.pretrained.families.forms import find_form
from models.pretrained.families.relatives import Plain, to_plain
from models.pretrained.families.unsupported import refuse_packed_gate, refuse_unsupported
from models.pretrained.jax_keys import renamed, to_torch_layout
from models.pretrained.position_embeddings import stated_grid
from models.pretrained.prefixes import MARKS as MARKS
from models.pretrained.prefixes import find_network, other_heads

PRE_NORM = "patch_embedding.norm."           # CLIP's: of z_0
# Ours → theirs. Names ending in a dot denote a module's weight and bias.
TOP = {
    "torchvision": {"patch_embedding.project.": "conv_proj.", "patch_embedding.class_token": "class_token",
                    "patch_embedding.positions": "encoder.pos_embedding", "norm.": "encoder.ln.",
                    "classifier.": "heads.head."},
    "timm": {"patch_embedding.project.": "patch_embed.proj.", "patch_embedding.class_token": "cls_token",
             "patch_embedding.positions": "pos_embed", "norm.": "norm.", "classifier.": "head.",
             PRE_NORM: "norm_pre."},
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
ONE_HEAD = (r"^heads\.(0\.)?(weight|bias)$", r"heads.head.\2")      # net.heads = nn.Linear(…), the course's
# Older and other spellings of the same names, (pattern, replacement), applied in this order.
SPELLINGS = {
    "timm": [(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.")],                      # DINOv2's training has chunks of blocks
    "torchvision": [(r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."),
                    ONE_HEAD],
    "replicated": [(r"^patch_embedding\.patcher\.", "patch_embedding_layer.patcher."),
                   (r"\.multihead_attn\.", ".multihead_attention.")],
    "huggingface": [(r"^vit\.", ""), (r"^encoder\.layer\.", "layers."),
                    (r"\.norm1\.", ".layernorm_before."), (r"\.norm2\.", ".layernorm_after."),        # DINOv2's
                    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
                    (r"\.attention\.attention\.(q|k|v)[a-z]+\.", r".attention.\1."),
                    (r"\.attention\.(q|k|v)_proj\.", r".attention.\1."),
                    (r"\.intermediate\.dense\.", ".mlp.fc1."), (r"(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2.")],
}
# What may be left out: a pre-training head's hidden layer, and the pooler of a bare ViTModel.
HIDDEN = {"torchvision": ("heads.pre_logits.weight", "heads.pre_logits.bias"),
          "timm": ("pre_logits.fc.weight", "pre_logits.fc.bias"), "jax": ("pre_logits/kernel", "pre_logits/bias")}
POOLER = {"pooler.dense.weight", "pooler.dense.bias"}
SMALL_MOCO = (384, 12)          # width and heads of MoCo v3's ViT-S; DeiT's and this project's have 6
RESIZING = {"replicated": "jax", "ours": "jax"}     # of positions; the other libraries resize their own way


@dataclass(frozen=True)
class Converted:
    """Weights under the names of models.vit.ViT, with the settings of their source."""

    source: str                          # torchvision, timm, huggingface, jax, replicated or ours
    weights: dict[str, Tensor]           # without classifier if there was no linear head on y
    norm_eps: float
    gelu: str
    grid: tuple[int, int] | None         # of the positions, rows and columns, if a configuration says so
    num_heads: int | None                # if known; most sources' shapes do not determine it
    left_out_classes: int | None         # of a head with a hidden layer; both were left out
    pool: str                            # as in ViTConfig
    layout: str                          # the library whose names the tensors had: `source`, or open_clip
    family: str                          # DINOv2, CLIP, … (families/relatives.py); "" for a plain ViT
    resizing: str                        # how positions are interpolated: a key of position_embeddings.MODES
    notes: tuple[str, ...] = ()


def recognise(names: Iterable[str]) -> str:
    """The library of these names: torchvision, timm, huggingface, jax, replicated, ours, or open_clip; UserError if
    unknown or refused by name. Of CLIP it is huggingface or open_clip, whichever wrote it, or timm.
    """
    names = list(names)
    return clip_layout(names)[0] or _network(dict.fromkeys(names, torch.empty(0)))[0]


def convert(tensors: dict[str, Tensor], config: dict | None = None) -> Converted:
    """Tensors of any known library → ours, in fp32; `config` is that of our own checkpoints, or one beside the file:
    epsilon, GELU, pooling, image size, heads.

    Networks near a plain ViT are rewritten to one, or refused by name (families/). Raises UserError with the tensor's
    name if one is missing, unexpected, has the wrong number of axes, or holds anything but finite real numbers.
    """
    real = {name: real_numbers(name, value) for name, value in tensors.items()}
    layout, heads, plain, notes = _plain_network(real)
    source, named = "timm" if plain.family == "CLIP" else layout, plain.tensors
    form = find_form(layout, plain.family, plain.pool, config or {})
    if layout != "timm" and form.gelu == "quick" and "gelu" not in (config or {}):
        notes.append("the quick GELU is assumed, as in OpenAI's weights: LAION's have the exact one, which a "
                     "config.json or open_clip_config.json beside the file says")
    names = _names("ours" if source == "jax" else source, named)
    named, left_out, more = _without_hidden_head(source, names, named)
    names, named, left_out, others = _without_other_heads(source, names, named, left_out)
    if unexpected := sorted(set(named) - set(names.values())):
        raise UserError(f"{source} weights: {unexpected[0]} is an unexpected tensor ({len(unexpected)} such tensors)")
    if missing := sorted(set(names.values()) - set(named)):
        needed = ": this ViT needs a class token" if missing == [names["patch_embedding.class_token"]] else ""
        raise UserError(f"{source} weights: {missing[0]} is missing ({len(missing)} such tensors){needed}")
    weights = {name: named[theirs] for name, theirs in names.items()}
    _check_axes(source, weights, names)
    grid = stated_grid(form.image_size, weights["patch_embedding.project.weight"].shape[-1],
                       weights["patch_embedding.positions"].shape[1], source)
    return Converted(source, weights, form.norm_eps, form.gelu, grid,
                     heads or form.num_heads, left_out, form.pool, layout, plain.family,
                     plain.resizing or RESIZING.get(source, source), (*notes, *plain.notes, *more, *others))


def _plain_network(tensors: dict[str, Tensor]) -> tuple[str, int | None, Plain, list[str]]:
    """(the layout, heads if known, a plain ViT's tensors under one spelling of its library's names, notes)."""
    tensors, clip, notes = clip_as_timm(tensors)
    moco = any("momentum_encoder." in name for name in tensors)
    source, tensors, more = _network(tensors)
    refuse_packed_gate(tensors)
    if source == "jax":
        tensors, heads, others = to_torch_layout(tensors)             # under our own names
        return source, heads, to_plain("ours", tensors), [*more, *others]
    deep = any(re.match(r"heads\.[1-9]", name) for name in tensors)           # net.heads = nn.Sequential(…) of layers
    spellings = [one for one in SPELLINGS.get(source, []) if one != ONE_HEAD or not deep]
    tensors, notes = renamed(source, tensors, spellings), [*notes, *more]
    if source == "huggingface":
        tensors = _fused(tensors)
        if POOLER & tensors.keys():
            notes.append("pooler weights are ignored")
            tensors = {name: tensor for name, tensor in tensors.items() if name not in POOLER}
    plain = to_plain(source, tensors, clip)
    if not moco or source != "timm":
        return clip or source, None, plain, notes
    small = len(plain.tensors.get("cls_token", torch.empty(0)).flatten()) == SMALL_MOCO[0]
    return source, SMALL_MOCO[1] if small else None, replace(plain, family="MoCo v3"), notes


def _network(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor], list[str]]:
    """`find_network`; UserError, with the network's name, for one that is near a ViT and none."""
    try:
        source, tensors, notes = find_network(tensors)
    except UserError:
        refuse_unsupported(tensors)
        raise
    refuse_unsupported(tensors)
    return source, tensors, notes


def _without_hidden_head(source: str, names: dict[str, str], tensors: dict[str, Tensor]
                         ) -> tuple[dict[str, Tensor], int | None, list[str]]:
    """(tensors without a pre-training head that has a hidden layer, its classes, a note)."""
    hidden = [name for name in HIDDEN.get(source, ()) if name in tensors]
    if len(hidden) == 1:
        raise UserError(f"{source} weights: {hidden[0]} has no matching weight or bias")
    if not hidden:
        return tensors, None, []
    head = [names[name] for name in ("classifier.weight", "classifier.bias") if names[name] in tensors]
    classes = tensors[head[0]].shape[:1].numel() if head else None
    what = f"{classes} classes on a hidden layer" if head else "a hidden layer"
    return ({name: tensor for name, tensor in tensors.items() if name not in (*hidden, *head)}, classes,
            [f"the pre-training head, {what}, is left out (§3.2)"])


def real_numbers(name: str, value: object) -> Tensor:
    """A tensor of any floating-point type → fp32; integers, such as a counter, are kept; UserError otherwise."""
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"{name} is {type(value).__name__}, not a tensor of numbers") from None
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        kind = "without values (meta)" if value.is_meta else "sparse, quantised or nested"
        raise UserError(f"{name} is a tensor {kind}: give the plain, dense weights")
    if value.is_complex():
        raise UserError(f"{name} holds complex numbers ({_type(value)}): a ViT's weights are real")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{name} is {tuple(value.shape)}, more numbers than the file holds for it")
    if not value.is_floating_point():
        if value.ndim and value.dtype not in (torch.int32, torch.int64):     # what counters and indices are
            raise UserError(f"{name} holds {_type(value)}, expected floating-point numbers")
        return value.detach()
    value = value.detach().float()
    if not value.isfinite().all():
        raise UserError(f"{name} holds numbers that are not finite (NaN or infinite): these weights cannot be used")
    if name.endswith("running_var") and (value < 0).any():
        raise UserError(f"{name} holds a variance of {value.min():.3g}, below 0: these weights cannot be used")
    return value


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _without_other_heads(source: str, names: dict[str, str], tensors: dict[str, Tensor], left_out: int | None
                         ) -> tuple[dict[str, str], dict[str, Tensor], int | None, list[str]]:
    """(names without those of a head that the file has not, tensors without heads under other names than the library's,
    classes of one on a hidden layer, notes); of the library's own, a weight without its bias counts as another.
    """
    weight, bias = (names[f"classifier.{end}"] in tensors for end in ("weight", "bias"))
    if not bias and not (weight and source == "jax"):        # the authors' heads always have one
        names = {name: theirs for name, theirs in names.items() if not name.startswith("classifier.")}
    kernel = tensors.get(names["patch_embedding.project.weight"])
    others = {name: tensor for name, tensor in tensors.items() if name not in set(names.values())}
    if not others or kernel is None or not kernel.ndim:
        return names, tensors, left_out, []
    inside = {*(name.split(".")[0] for name in names.values()), *(("Transformer", "embedding") * (source == "jax"))}
    heads = other_heads(others, len(kernel), inside, beside=weight and bias)
    if heads is None:
        return names, tensors, left_out, []
    notes = [f"the head {name}, of {classes} classes{'' if direct else ' on hidden layers'}, is left out"
             for name, classes, direct in heads]
    hidden = [classes for _, classes, direct in heads if not direct]
    return (names, {name: tensor for name, tensor in tensors.items() if name not in others},
            hidden[0] if hidden and not bias else left_out, notes)


def _names(source: str, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Ours → theirs, every tensor of a ViT with as many blocks as there are."""
    if source == "ours":
        top, (prefix, block) = {name: name for name in TOP["timm"]}, ("encoder.{}.", OURS)
    else:
        top, (prefix, block) = TOP[source], BLOCK[source]
    if not any(name.startswith(top.get(PRE_NORM, "-")) for name in tensors):       # CLIP's alone
        top = {ours: theirs for ours, theirs in top.items() if ours != PRE_NORM}
    pattern = re.escape(prefix).replace(r"\{\}", r"(\d+)")
    layers = {int(found[1]) for name in tensors if (found := re.match(pattern, name))}
    pairs = dict(top)
    for i in range(min(max(layers, default=-1) + 1, len(tensors))):     # bounded by the number of tensors
        pairs |= {f"encoder.{i}.{ours}": prefix.format(i) + theirs for ours, theirs in zip(OURS, block, strict=True)}
    names: dict[str, str] = {}
    for ours, theirs in pairs.items():
        ends = ("weight", "bias") if ours.endswith(".") else ("",)
        names |= {ours + end: theirs + end for end in ends}
    return names


def _fused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """W_q, W_k, W_v (D, D) concatenated, as nn.MultiheadAttention stores them: (3D, D); biases likewise."""
    fused = dict(tensors)
    for name in tensors:
        if (found := re.fullmatch(r"(layers\.\d+\.attention)\.[qkv]\.(weight|bias)", name)) and name in fused:
            parts = [f"{found[1]}.{part}.{found[2]}" for part in "qkv"]
            if missing := [part for part in parts if part not in fused]:
                raise UserError(f"huggingface weights: {missing[0]} is missing")
            shapes = [tuple(fused[part].shape) for part in parts]
            if len(set(shapes)) > 1 or not shapes[0] or (whole := f"{found[1]}.qkv.{found[2]}") in fused:
                raise UserError(f"huggingface weights: {name}: shape mismatch among q, k, v: "
                                f"{', '.join(map(str, shapes))}")
            fused[whole] = torch.cat([fused.pop(part) for part in parts])
    return fused


def _check_axes(source: str, weights: dict[str, Tensor], names: dict[str, str]) -> None:
    """UserError, naming the source's tensor, for a shape that is incompatible with the others; -1: any length."""
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
        if not tensor.is_floating_point():
            raise UserError(f"{source} weights: {names[name]} holds {_type(tensor)}, expected floating-point numbers")
        expected = next(shape for end, shape in shapes.items() if name.endswith(end))
        shape = tuple(tensor.shape)
        if len(shape) != len(expected) or any(b not in (-1, a) for a, b in zip(shape, expected, strict=True)):
            raise UserError(f"{source} weights: {names[name]} is {shape}, expected {expected}")
