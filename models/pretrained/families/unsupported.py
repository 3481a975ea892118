"""Networks near the Vision Transformer that cannot be rewritten to one exactly: refused by name."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from functions.runtime.errors import UserError

PATCHES = (r"(patch_embed\.proj|embeddings\.patch_embeddings\.projection|embeddings\.patch_embedding|"
           r"embeddings\.patch_embed)\.weight$")
CLASS_TOKEN = r"(cls_token|class_token|class_embedding)$"
NO_TOKEN = "weights of a ViT with a class token"
PLAIN = "weights of the plain ViT"


class Network(NamedTuple):
    """A network, by the tensors it has and those it lacks (patterns), why it is refused, and what to use instead."""

    has: str
    name: str
    why: str
    instead: str
    without: str | None = None


# In this order: the first that fits is named.
UNSUPPORTED = [
    Network(r"\.lora_[A-Za-z]+(\.|$)", "weights with LoRA adapters", "an adapter is to be added to its layer first",
            "merge_and_unload() of peft before saving"),
    Network(r"(^|\.)embeds\.proj\.weight$", "a NaFlexViT of timm", "its positions and patches are of any size", PLAIN),
    Network(r"(^|\.)rope\.|rope_embed|rotary", "a network with rotary positions, such as DINOv3",
            "this ViT adds its positions to the patches", "DINOv2"),
    Network(r"(^|\.)(register_tokens|reg_token)$",
            "a ViT with register tokens, such as DINOv3 or DINOv2 with registers",
            "registers take part in attention and this ViT has none",
            "weights without registers, such as dinov2-small"),
    Network(r"(^|\.)(dist_token|distillation_token)$", "a distilled DeiT",
            "its distillation token takes part in attention and this ViT has none",
            "the DeiT without distillation, such as deit_small_patch16_224-cd65a155.pth"),
    Network(r"(^|\.)detection_tokens$", "a detector, such as YOLOS",
            "its detection tokens take part in attention and this ViT has none", PLAIN),
    Network(r"(^|[./])(head\.probe|attn_pool\.(latent|query|q\.weight)|MAPHead_0/.+)$",
            "a tower with attention pooling, such as SigLIP", "it has an attention pooling head",
            "CLIP, or a ViT with a class token"),
    Network(r"\.mlp\.(w12|weights_in|gate_proj|fc1_g)\.", "a ViT with SwiGLU, such as DINOv2 giant",
            "its MLP has a gate and this ViT's has none", "DINOv2 small, base or large"),
    Network(r"rel(ative)?_pos(ition)?_bias|rel_pos(\.|_[hw]$)", "a network with relative positions, such as BEiT",
            "this ViT adds its positions to the patches", "DINOv2, MAE or DeiT"),
    Network(r"\.attn\.q_bias$|(^|\.)lambda_[12]$", "a network of the BEiT or EVA family",
            "its positions are relative or rotary, and a file may not hold them", "DINOv2, MAE or DeiT"),
    Network(r"\.attn\.(q_norm|k_norm)\.", "a ViT with normalised queries and keys", "this ViT does not normalise them",
            PLAIN),
    Network(r"blocks\.\d+\.(attn|mlp)\.norm\.", "a ViT with a norm within its attention or MLP, such as BEiT-3",
            "this ViT normalises before them only", PLAIN),
    Network(r"blocks\.\d+\.(attns\.|ffns\.|attn_out_proj\.)", "a ViT with parallel branches in a block",
            "this ViT's attention and MLP follow one another", PLAIN),
    Network(r"\.attn\.(proj_l\.|proj_w\.|gating_param$)", "a network with another attention, such as CaiT or ConViT",
            "this ViT's heads do not mix", PLAIN),
    Network(r"patch_embed\.backbone\.", "a hybrid of timm", "its patches come from the map of a ResNet",
            "the authors' .npz in models.pretrained.load_pretrained, or weights of the plain ViT"),
    Network(r"embeddings\.class_embedding$", "an image tower other than CLIP's, such as OWL-ViT's or BLIP's",
            "its first LayerNorm or its patch embedding is another", "CLIP", without=r"(^|\.)pre_layrnorm\.weight$"),
    Network(r"(^|\.)transformer\.resblocks\.0\.ln_1\.weight$",
            "a CLIP tower without a LayerNorm before its first block, such as CLIPA's",
            "the towers known here have one", "CLIP of OpenAI or LAION", without=r"(^|\.)ln_pre\.weight$"),
    Network(PATCHES, "a network without a class token (cls_token), such as SigLIP, I-JEPA or Swin",
            "this ViT needs a class token", NO_TOKEN, without=CLASS_TOKEN),
    Network(r"(^|\.)cls_token$", "a network without position embeddings (pos_embed), such as one with rotary positions",
            "this ViT adds its positions to the patches", PLAIN, without=r"(pos_embed|position_embeddings)$"),
]


def refuse_unsupported(names: Iterable[str]) -> None:
    """UserError, one line with the network, a tensor's name, the reason and an alternative, if `names` are of one."""
    names = sorted(names)
    for network in UNSUPPORTED:
        found = next((name for name in names if re.search(network.has, name)), None)
        if found and not (network.without and any(re.search(network.without, name) for name in names)):
            raise UserError(f"{network.name} ({found}): {network.why}; use {network.instead}")


def refuse_packed_gate(tensors: Mapping[str, Tensor]) -> None:
    """UserError for timm's SwiGLU whose two halves are one layer: fc1 (2H, D) before fc2 (D, H)."""
    for name, first in tensors.items():
        second = tensors.get(name.replace(".mlp.fc1.", ".mlp.fc2."))
        if (name.endswith(".mlp.fc1.weight") and second is not None and first.ndim == second.ndim == 2
                and first.shape[0] == 2 * second.shape[1]):
            raise UserError(f"a ViT with SwiGLU, such as timm's DINOv2 giant ({name}): its MLP has a gate and this "
                            "ViT's has none; use DINOv2 small, base or large")
