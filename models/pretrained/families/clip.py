"""CLIP's image tower: the names of transformers and of open_clip → timm's.

The tower is a ViT with a LayerNorm before the first block (`pre_norm` in ViTConfig), no bias in the patch embedding and
epsilon 1e-5; OpenAI's has the quick GELU. The text tower and the projection to the shared space are left out.
Sources: openai/CLIP, clip/model.py, whose names open_clip keeps; transformers, models/clip/modeling_clip.py; timm,
`_convert_openai_clip` in models/vision_transformer.py.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from functions.runtime.errors import UserError

# Layout → (the tensor that it is recognised by, what else it must have, (pattern, timm's name) in this order).
LAYOUTS = {
    "huggingface": ("embeddings.class_embedding", "pre_layrnorm.weight", [
        (r"^embeddings\.class_embedding$", "cls_token"), (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
        (r"^embeddings\.patch_embedding\.", "patch_embed.proj."), (r"^pre_layrnorm\.", "norm_pre."),
        (r"^post_layernorm\.", "norm."), (r"^encoder\.layers\.", "blocks."), (r"\.layer_norm([12])\.", r".norm\1."),
        (r"\.self_attn\.out_proj\.", ".attn.proj."), (r"\.self_attn\.([qkv])_proj\.", r".attn.\1.")]),
    "open_clip": ("class_embedding", "ln_pre.weight", [
        (r"^class_embedding$", "cls_token"), (r"^positional_embedding$", "pos_embed"),
        (r"^conv1\.", "patch_embed.proj."), (r"^ln_pre\.", "norm_pre."), (r"^ln_post\.", "norm."),
        (r"^transformer\.resblocks\.", "blocks."), (r"\.ln_([12])\.", r".norm\1."), (r"\.ls_([12])\.", r".ls\1."),
        (r"\.attn\.in_proj_", ".attn.qkv."),
        (r"\.attn\.out_proj\.", ".attn.proj."), (r"\.mlp\.c_fc\.", ".mlp.fc1."), (r"\.mlp\.c_proj\.", ".mlp.fc2.")]),
}
BESIDE = {"embeddings.position_ids", "proj"}       # in the tower: a buffer of transformers 4, open_clip's projection


def clip_layout(names: Iterable[str]) -> tuple[str, str]:
    """(a key of LAYOUTS, the tower's prefix), or ("", ""); UserError for two towers in one file."""
    names = set(names)
    found = [(layout, prefix) for layout, (mark, also, _) in LAYOUTS.items() for name in sorted(names)
             if name == mark or name.endswith(f".{mark}")
             if (prefix := name.removesuffix(mark)) + also in names]
    if len(found) > 1:
        raise UserError("the file holds several CLIP towers: save one in a file of its own")
    return found[0] if found else ("", "")


def clip_as_timm(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """(the tower under timm's names, the layout it had, notes on what was left out); other tensors are unchanged."""
    layout, prefix = clip_layout(tensors)
    if not layout:
        return tensors, "", []
    outside = [name for name in tensors if not name.startswith(prefix) or name.removeprefix(prefix) in BESIDE]
    parts = sorted({name.removeprefix(prefix).split(".")[0] for name in outside})
    notes = [f"of CLIP, what is not the image tower is left out ({len(outside)} tensor{'s' * (len(outside) > 1)}): "
             + ", ".join(parts[:4]) + (", …" if parts[4:] else "")] if outside else []
    tower: dict[str, Tensor] = {}
    for theirs, tensor in tensors.items():
        if theirs not in outside:
            name = theirs.removeprefix(prefix)
            for pattern, replacement in LAYOUTS[layout][2]:
                name = re.sub(pattern, replacement, name)
            tower[name] = tensor
    return _shaped(_fused(tower)), layout, notes


def _fused(tower: dict[str, Tensor]) -> dict[str, Tensor]:
    """W_q, W_k, W_v in one tensor of 3D rows, and their biases."""
    fused = {name: tensor for name, tensor in tower.items() if not re.search(r"\.attn\.[qkv]\.", name)}
    for name in tower:
        if found := re.fullmatch(r"(blocks\.\d+\.attn)\.q\.(weight|bias)", name):
            parts = [tower.get(f"{found[1]}.{part}.{found[2]}") for part in "qkv"]
            if any(part is None or part.shape != tower[name].shape for part in parts):
                raise UserError(f"CLIP weights: {name}: q, k and v are not three tensors of one shape")
            fused[f"{found[1]}.qkv.{found[2]}"] = torch.cat([part for part in parts if part is not None])
    return fused


def _shaped(tower: dict[str, Tensor]) -> dict[str, Tensor]:
    """The class token and the positions with timm's axes, (1, 1, D) and (1, N + 1, D)."""
    shaped = dict(tower)
    for name, axes in (("cls_token", 1), ("pos_embed", 2)):
        if name in tower and tower[name].ndim == axes:
            shaped[name] = tower[name].view(*(1,) * (3 - axes), *tower[name].shape)
    return shaped
