import pytest
import torch

from models.pretrained.families.unsupported import refuse_unsupported
from models.pretrained.key_maps import convert, recognise
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


def siglip_without_a_head():
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(SiglipVisionConfig(**SIZES, vision_use_head=False))


def timms(name, **options):
    import timm

    return timm.create_model(name, img_size=32, embed_dim=12, depth=1, num_heads=3, **options)


NETWORKS = {
    registers: r"register tokens.*\(embeddings.register_tokens\).*use weights without registers, such as dinov2-small",
    distilled: r"a distilled DeiT \(embeddings.distillation_token\): its distillation token takes part in attention",
    timms_distilled: r"a distilled DeiT \(dist_token\).*use the DeiT without distillation",
    siglip: r"attention pooling, such as SigLIP \(head.probe\).*use CLIP",
    swiglu: r"SwiGLU, such as DINOv2 giant \(encoder.layer.0.mlp.(gate_proj|weights_in).bias\)",
    lambda: timm_vit(reg_tokens=4): r"register tokens.*\(reg_token\)",
    lambda: timm_vit(class_token=False, global_pool="map"): r"attention pooling.*\(attn_pool.latent\)",
    lambda: timm_vit(qk_norm=True): r"normalised queries and keys \(blocks.0.attn.k_norm.bias\)",
    lambda: timm_vit(scale_attn_norm=True): r"norm within its attention or MLP.*BEiT-3 \(blocks.0.attn.norm.bias",
    lambda: timm_vit(class_token=False, global_pool="avg"): r"without a class token.*\(patch_embed.proj.weight\)",
    siglip_without_a_head: r"without a class token .cls_token., such as SigLIP.*\(embeddings.patch_embedding.weight\)",
    lambda: timms("naflexvit_base_patch16_gap"): r"a NaFlexViT of timm \(embeds.proj.weight\)",
    lambda: timms("vit_relpos_base_patch16_224"): r"relative positions, such as BEiT \(blocks.0.attn.rel_pos.mlp",
    lambda: timms("vit_small_patch16_rope_mixed_224"): r"rotary positions, such as DINOv3 \(rope.freqs\)",
    lambda: timms("vit_small_patch16_rope_224"): r"without position embeddings .*\(cls_token\)",
    lambda: timms("vit_tiny_patch16_dinov3_qkvb"): r"register tokens, such as DINOv3.*\(reg_token\)",
    lambda: timms("eva_giant_patch14_224", patch_size=16): r"BEiT or EVA family \(blocks.0.attn.q_bias\)",
    lambda: timms("vit_small_patch16_18x2_224"): r"parallel branches in a block \(blocks.0.attns.0.attn",
    lambda: timms("convit_tiny"): r"such as CaiT or ConViT \(blocks.0.attn.gating_param\)",
}


@pytest.mark.parametrize("network", NETWORKS)
def test_what_would_have_other_features_is_refused_by_name_in_one_line(network):
    """By `recognise` too, which the training script calls first, to know whose configuration to read."""
    state = network().state_dict()
    for read in (convert, recognise):
        with pytest.raises(ValueError, match=NETWORKS[network]) as refusal:
            read(state)
        assert "\n" not in str(refusal.value)


def test_a_gate_packed_into_the_first_layer_is_known_by_its_shape():
    with pytest.raises(ValueError, match=r"SwiGLU, such as timm's DINOv2 giant \(blocks.0.mlp.fc1.weight\)"):
        convert(timms("vit_giant_patch14_dinov2", patch_size=16).state_dict())


@pytest.mark.parametrize(("name", "network"), [
    ("blocks.0.attn.relative_position_bias_table", "BEiT"), ("rope_embed.periods", "DINOv3"),
    ("params/img/MAPHead_0/probe", "SigLIP"), ("blocks.0.attn.q_bias", "BEiT"), ("blocks.3.mlp.w12.weight", "SwiGLU"),
    ("encoder.layer.0.mlp.weights_in.bias", "SwiGLU"), ("blocks.0.attn.qkv.lora_A.weight", "LoRA"),
    ("encoder.layer.0.lambda_1", "BEiT or EVA"), ("embeddings.detection_tokens", "YOLOS"),
    ("patch_embed.backbone.conv1.weight", "hybrid of timm"), ("attn_pool.query", "attention pooling"),
    ("embeddings.class_embedding", "BLIP"), ("transformer.resblocks.0.ln_1.weight", "CLIPA")])
def test_others_are_known_by_a_tensors_name(name, network):
    with pytest.raises(ValueError, match=network):
        refuse_unsupported([name])
    with pytest.raises(ValueError, match=network):
        convert(timm_vit().state_dict() | {name: torch.ones(12)})


def test_the_plain_vit_is_none_of_them():
    refuse_unsupported([*timm_vit(init_values=1.0).state_dict(), "vit.embeddings.cls_token", "decoder.mask_token"])
    refuse_unsupported(["visual.ln_pre.weight", "visual.transformer.resblocks.0.ln_1.weight", "visual.class_embedding"])
    refuse_unsupported(["vision_model.embeddings.class_embedding", "vision_model.pre_layrnorm.weight"])
