"""Families whose tensors become a plain ViT: features beside the source library's own, and beside those of mistakes."""

import re
from dataclasses import replace

import pytest
import torch

from models import make_model
from models.pretrained.families.relatives import to_plain
from models.pretrained.key_maps import convert
from models.pretrained.load import adapt
from models.pretrained.position_embeddings import is_square, resize_positions
from tests.models.parity import perturbed
from tests.models.pretrained.families.networks import (
    SIZES,
    SMALL,
    answer,
    difference,
    dinov2,
    images,
    other_form,
    ours,
    timm_vit,
)


def masked_autoencoder():
    """(transformers' encoder, the file of its pre-training with the decoder)."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(**SIZES, decoder_hidden_size=8, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
                          decoder_intermediate_size=8, mask_ratio=0.0)
    return perturbed(ViTMAEForPreTraining(config), 0)


def test_dinov2_of_transformers_with_its_epsilon():
    net = dinov2()
    expected, converted = answer(net, images()), convert(net.state_dict())
    assert (converted.family, converted.norm_eps, converted.gelu, converted.pool) == ("DINOv2", 1e-6, "none", "cls")
    assert {"the mask token is left out (1 tensor)", "LayerScale is folded into 4 dense layers"} == {*converted.notes}
    model = ours(net.state_dict())
    assert difference(model, expected) < 1e-5
    assert difference(other_form(model, norm_eps=1e-5), expected) > 1e-4
    assert difference(other_form(model, norm_eps=1e-6, gelu="tanh"), expected) > 1e-5


def test_dinov2_for_classification_has_a_head_for_two_tokens_which_is_left_out():
    from transformers import Dinov2Config, Dinov2ForImageClassification

    net = perturbed(Dinov2ForImageClassification(Dinov2Config(**SIZES, num_labels=5)), 0)
    converted = convert(net.state_dict())
    assert "2 tensors outside of dinov2 are left out: classifier" in converted.notes
    assert difference(ours(net.state_dict()), answer(net.dinov2, images())) < 1e-5


def test_dinov2_of_facebookresearch_is_timms_with_a_mask_token_and_resizes_by_a_factor():
    net = timm_vit(init_values=1.0, img_size=20)                         # 5x5 positions
    state = net.state_dict()
    assert convert(state).resizing == "timm"
    facebooks = convert(state | {"mask_token": torch.zeros(1, 12)})
    assert (facebooks.family, facebooks.resizing) == ("", "timm"), "patches of 4 are of no DINOv2"
    assert difference(ours(state | {"mask_token": torch.ones(1, 12)}, image_size=(20, 20)), answer(net, images(20)),
                      20) < 1e-5
    state |= {"patch_embed.proj.weight": torch.randn(12, 3, 14, 14), "mask_token": torch.zeros(1, 12)}
    assert (convert(state).family, convert(state).resizing) == ("DINOv2", "dinov2")


def test_positions_are_resized_as_facebookresearchs_dinov2_does():
    """dinov2/models/vision_transformer.py, interpolate_pos_encoding: an offset of 0.1, and no antialiasing."""
    positions = torch.randn(1, 5 * 5 + 1, 12)
    patches = positions[:, 1:].reshape(1, 5, 5, 12).permute(0, 3, 1, 2)
    w0, h0, count = 3, 4, 25 ** 0.5
    theirs = torch.nn.functional.interpolate(patches, mode="bicubic", scale_factor=((w0 + 0.1) / count,
                                                                                    (h0 + 0.1) / count))
    mine = resize_positions(positions, (5, 5), (3, 4), "dinov2")
    torch.testing.assert_close(mine[0, 1:], theirs.permute(0, 2, 3, 1).reshape(12, 12))
    assert not torch.allclose(mine, resize_positions(positions, (5, 5), (3, 4), "huggingface"), atol=1e-3)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_a_square_number_of_positions_can_be_the_class_tokens_and_those_of_no_square(scale):
    """1 + 3x5 positions are 16; 208x176 pixels are 1 + 13x11 = 144. Only DeiT III's, by their scale, may be 4x4."""
    net = timm_vit(init_values=scale, img_size=(12, 20))
    pictures = torch.randn(2, 3, 12, 20)
    with torch.no_grad():
        gap = (ours(net.state_dict(), image_size=(12, 20))(pictures) - answer(net, pictures)).abs().max()
    assert gap < 1e-5


def test_flexivits_positions_of_patches_alone_are_known_by_the_image_size_in_its_configuration():
    net = timm_vit(no_embed_class=True)
    model = make_model(replace(SMALL, num_classes=5))
    converted = convert(net.state_dict(), {"image_size": [16, 16]})
    assert (converted.family, converted.grid) == ("", (4, 4))
    model.load_state_dict(adapt(converted, model.config)[0], strict=False)
    model.classifier = torch.nn.Identity()
    assert difference(model.eval(), answer(net, images())) < 1e-5
    with pytest.raises(ValueError, match="15, is not a square number.*a config.json beside the file says it"):
        ours(net.state_dict())


def test_without_a_bias_of_q_k_and_v_it_is_zero():
    """timm's vit_base_patch16_224_miil, and transformers' qkv_bias=False."""
    from transformers import ViTConfig, ViTModel

    for net in (timm_vit(qkv_bias=False), perturbed(ViTModel(ViTConfig(**SIZES, qkv_bias=False)), 0)):
        converted = convert(net.state_dict())
        assert "q, k and v have no bias in the source: it is 0" in converted.notes
        assert difference(ours(net.state_dict()), answer(net, images())) < 1e-5
    one = timm_vit().state_dict()
    del one["blocks.1.attn.qkv.bias"]
    with pytest.raises(ValueError, match="blocks.1.attn.qkv.bias is missing"):
        convert(one)


def test_dinov2s_training_keeps_its_blocks_in_chunks():
    net = timm_vit(init_values=1.0)
    for chunk in (r"blocks.0.\1.", r"blocks.\1.\1."):
        state = {re.sub(r"^blocks\.(\d+)\.", chunk, name): tensor for name, tensor in net.state_dict().items()}
        assert difference(ours(state), answer(net, images())) < 1e-5


@pytest.mark.parametrize("names", ["timm", "facebookresearch"])
def test_deit_iii_has_positions_for_patches_only(names):
    """no_embed_class: the class token gets no position; facebookresearch/deit writes blocks.0.gamma_1."""
    net = timm_vit(init_values=1.0, no_embed_class=True)
    state = net.state_dict()
    assert state["pos_embed"].shape[1] == 16
    if names == "facebookresearch":
        state = {re.sub(r"ls([12])\.gamma", r"gamma_\1", name): tensor for name, tensor in state.items()}
    assert convert(state).family == "DeiT III"
    assert difference(ours(state), answer(net, images())) < 1e-5


def test_the_decoder_of_a_masked_autoencoder_is_left_out_and_named():
    net = masked_autoencoder()
    converted = convert(net.state_dict())
    decoder = sum(name.startswith("decoder.") for name in net.state_dict())
    assert (converted.family, converted.pool, converted.norm_eps) == ("MAE", "cls", 1e-12)
    assert f"the decoder of a masked autoencoder is left out ({decoder} tensors)" in converted.notes
    noise = torch.arange(16.0).expand(2, -1)                              # patches keep their order
    with torch.no_grad():
        expected = net.vit(images(), noise=noise).last_hidden_state[:, 0]
    model = ours(net.state_dict())
    assert difference(model, expected) < 1e-5
    assert difference(other_form(model, norm_eps=1e-6), expected) > 1e-5


def test_a_decoder_by_facebookresearchs_names_is_left_out():
    net = timm_vit()
    extra = {"decoder_pos_embed": torch.ones(1, 17, 8), "decoder_blocks.0.attn.qkv.weight": torch.ones(24, 8),
             "decoder_embed.weight": torch.ones(8, 12), "mask_token": torch.ones(1, 1, 8)}
    converted = convert(net.state_dict() | extra)
    assert converted.family == "MAE"
    assert "the decoder of a masked autoencoder is left out (3 tensors)" in converted.notes
    assert difference(ours(net.state_dict() | extra), answer(net, images())) < 1e-5


@pytest.mark.parametrize(("fc_norm", "pool"), [(True, "mean_then_norm"), (False, "mean")])
def test_the_mean_over_patches_is_before_or_after_the_norm_as_in_the_source(fc_norm, pool):
    """timm's global_pool="avg"; fc_norm=True is also facebookresearch/mae's models_vit.py with global_pool."""
    net = timm_vit(global_pool="avg", fc_norm=fc_norm)
    expected, state = answer(net, images()), net.state_dict()
    found = {wanted: difference(ours(state, pool=wanted), expected) for wanted in ("mean", "mean_then_norm")}
    assert found.pop(pool) < 1e-5
    assert min(found.values()) > 1e-3
    plain = {name.replace("fc_norm.", "norm."): tensor for name, tensor in state.items()}
    assert difference(ours(plain), expected) > 1e-3, "the class token"
    assert convert(state).pool == ("mean_then_norm" if fc_norm else "cls"), "timm's own norm is named alike in both"
    assert convert(state, {"pool": "mean"}).pool == pool, "its config.json says avg"


def test_a_network_that_reads_the_mean_is_not_loaded_into_one_that_reads_the_class_token():
    with pytest.raises(ValueError, match='reads the mean over patches: build the model with pool="mean_then_norm"'):
        ours(timm_vit(global_pool="avg", fc_norm=True).state_dict())


def test_dino_in_a_checkpoint_of_its_training():
    """facebookresearch/dino: the teacher with its head; the averaged network is the one that is evaluated."""
    from models.pretrained.weight_files import _unpack

    net = timm_vit()
    teacher = {f"module.backbone.{name}": t for name, t in net.state_dict().items()}
    teacher |= {"module.head.mlp.0.weight": torch.ones(7, 12), "module.head.mlp.0.bias": torch.ones(7),
                "module.head.last_layer.weight_v": torch.ones(5, 7),
                "module.head.last_layer.weight_g": torch.ones(5, 1)}
    student = {name: t + 1 for name, t in teacher.items()}
    content = _unpack({"student": student, "teacher": teacher, "epoch": 3}, None)
    assert difference(ours(content.tensors), answer(net, images())) < 1e-5


def test_moco_v3_has_two_encoders_of_which_the_base_is_read():
    """facebookresearch/moco-v3: module.base_encoder, with a head of several layers, and a predictor."""
    net = timm_vit()
    head = {f"head.{i}.weight": torch.ones(9, 12 if i == 0 else 9) for i in (0, 3)}
    state = {f"module.base_encoder.{name}": t for name, t in (net.state_dict() | head).items()}
    state |= {f"module.momentum_encoder.{name}": t + 1 for name, t in (net.state_dict() | head).items()}
    state |= {"module.predictor.0.weight": torch.ones(9, 9)}
    converted = convert(state)
    assert any("on hidden layers, is left out" in note for note in converted.notes)
    assert (converted.family, converted.num_heads) == ("MoCo v3", None)
    assert difference(ours(state), answer(net, images())) < 1e-5


def test_moco_v3s_small_vit_has_12_heads_which_no_tensor_says():
    net = timm_vit(embed_dim=384, num_heads=12, depth=1)
    state = {f"{encoder}.{name}": tensor for encoder in ("base_encoder", "momentum_encoder")
             for name, tensor in net.state_dict().items()}
    wide = {"embedding_dim": 384, "num_layers": 1, "mlp_size": 4 * 384}
    assert difference(ours(state, **wide, num_heads=12), answer(net, images())) < 1e-4
    with pytest.raises(ValueError, match="have 12 heads, the model has 6"):
        ours(state, **wide, num_heads=6)


def test_what_needs_no_change_is_left_as_it_is():
    state = timm_vit().state_dict()
    plain = to_plain("timm", state)
    assert (plain.tensors, plain.family, plain.pool, plain.resizing, plain.notes) == (state, "", "cls", "", ())
    assert [count for count in range(1, 30) if is_square(count)] == [1, 4, 9, 16, 25]
    assert SMALL.num_patches == 16
