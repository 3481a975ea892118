import pytest
import torch

from models.pretrained.families.unsupported import UNSUPPORTED, refuse_unsupported
from models.pretrained.key_maps import convert
from tests.models.pretrained.families.networks import SIZES, timm_vit


def registers():
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES))


def distilled():
    from transformers import DeiTConfig, DeiTForImageClassificationWithTeacher

    return DeiTForImageClassificationWithTeacher(DeiTConfig(**SIZES))


def timms_distilled():
    from timm.models.deit import VisionTransformerDistilled

    return VisionTransformerDistilled(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=3)


def siglip():
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(**SIZES))


def swiglu():
    from transformers import Dinov2Config, Dinov2Model

    return Dinov2Model(Dinov2Config(**SIZES | {"use_swiglu_ffn": True}))


NETWORKS = {
    registers: r"register tokens.*\(embeddings.register_tokens\).*use weights without registers, such as dinov2-small",
    distilled: r"a distilled DeiT \(embeddings.distillation_token\): its distillation token takes part in attention",
    timms_distilled: r"a distilled DeiT \(dist_token\).*use the DeiT without distillation",
    siglip: r"attention pooling, such as SigLIP \(embeddings.patch_embedding.bias\).*no class token; use CLIP",
    swiglu: r"SwiGLU, such as DINOv2 giant \(encoder.layer.0.mlp.gate_proj.bias\)",
    lambda: timm_vit(reg_tokens=4): r"register tokens.*\(reg_token\)",
    lambda: timm_vit(class_token=False, global_pool="map"): r"attention pooling.*\(attn_pool.latent\)",
    lambda: timm_vit(qk_norm=True): r"normalised queries and keys \(blocks.0.attn.k_norm.bias\)",
}


@pytest.mark.parametrize("network", NETWORKS)
def test_what_would_have_other_features_is_refused_by_name_in_one_line(network):
    with pytest.raises(ValueError, match=NETWORKS[network]) as refusal:
        convert(network().state_dict())
    assert "\n" not in str(refusal.value)


def test_a_network_without_a_class_token_is_refused():
    with pytest.raises(ValueError, match="cls_token is missing .*: this ViT needs a class token"):
        convert(timm_vit(class_token=False, global_pool="avg").state_dict())


@pytest.mark.parametrize(("name", "network"), [
    ("blocks.0.attn.relative_position_bias_table", "BEiT"), ("rope_embed.periods", "DINOv3"),
    ("params/img/MAPHead_0/probe", "SigLIP"), ("blocks.0.attn.q_bias", "BEiT"), ("blocks.3.mlp.w12.weight", "SwiGLU"),
    ("encoder.layer.0.mlp.weights_in.bias", "SwiGLU")])
def test_others_are_known_by_a_tensors_name(name, network):
    with pytest.raises(ValueError, match=network):
        refuse_unsupported([name])
    with pytest.raises(ValueError, match=network):
        convert(timm_vit().state_dict() | {name: torch.ones(12)})


def test_the_plain_vit_is_none_of_them():
    assert len(UNSUPPORTED) == 7
    refuse_unsupported([*timm_vit(init_values=1.0).state_dict(), "vit.embeddings.cls_token", "decoder.mask_token"])
