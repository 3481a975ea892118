"""Networks near the Vision Transformer that cannot be rewritten to one exactly: refused by name."""

import re
from collections.abc import Iterable

from functions.runtime.errors import UserError

# (pattern of a tensor's name, the network, why, what to use instead)
UNSUPPORTED = [
    (r"(^|\.)(register_tokens|reg_token)$", "a ViT with register tokens, such as DINOv2 with registers",
     "registers take part in attention and this ViT has none", "weights without registers, such as dinov2-small"),
    (r"(^|\.)(dist_token|distillation_token)$", "a distilled DeiT",
     "its distillation token takes part in attention and this ViT has none",
     "the DeiT without distillation, such as deit_small_patch16_224-cd65a155.pth"),
    (r"(^|[./])(head\.probe|attn_pool\.(latent|q\.weight)|MAPHead_0/.+|embeddings\.patch_embedding\.bias)$",
     "a tower with attention pooling, such as SigLIP",
     "it has an attention pooling head and no class token", "CLIP, or a ViT with a class token"),
    (r"\.mlp\.(w12|weights_in|gate_proj|fc1_g)\.", "a ViT with SwiGLU, such as DINOv2 giant",
     "its MLP has a gate and this ViT's has none", "DINOv2 small, base or large"),
    (r"rel(ative)?_pos(ition)?_bias|\.rel_pos_[hw]$|\.attn\.q_bias$", "a network with relative positions, such as BEiT",
     "this ViT adds its positions to the patches", "DINOv2, MAE or DeiT"),
    (r"rope_embed|rotary|\.rope\.", "a network with rotary positions, such as DINOv3",
     "this ViT adds its positions to the patches", "DINOv2"),
    (r"\.attn\.(q_norm|k_norm)\.", "a ViT with normalised queries and keys", "this ViT does not normalise them",
     "weights of the plain ViT"),
]


def refuse_unsupported(names: Iterable[str]) -> None:
    """UserError, one line with the network, a tensor's name, the reason and an alternative, if `names` are of one."""
    for name in sorted(names):
        for pattern, network, why, instead in UNSUPPORTED:
            if re.search(pattern, name):
                raise UserError(f"{network} ({name}): {why}; use {instead}")
