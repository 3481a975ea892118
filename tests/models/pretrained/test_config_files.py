import json
from dataclasses import replace

import pytest
import torch

from functions.runtime.errors import UserError
from models import ViTConfig
from models.mlp_block import GELU as OurGELU
from models.pretrained.config_files import (
    ACTIVATIONS,
    OPEN_CLIP,
    TIMMS_GELU,
    huggingface_config,
    model_type,
    pair,
    read_json,
    settings_beside,
)
from tests.conftest import NO_FILES

CONFIG = ViTConfig(image_size=(10, 15), patch_size=5, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                   mlp_size=20, num_classes=4, dropout=0.2)


@pytest.mark.parametrize("gelu", ["none", "tanh", "quick"])
def test_what_is_written_is_read_back(gelu, tmp_path):
    """That transformers reads it too is tested by the logits in tests/functions/exporting/test_huggingface.py."""
    config = replace(CONFIG, gelu=gelu, norm_eps=1e-3)
    (tmp_path / "config.json").write_text(json.dumps(huggingface_config(config)))
    assert settings_beside(tmp_path / "model.safetensors", "huggingface") == {
        "gelu": gelu, "norm_eps": 1e-3, "image_size": [10, 15], "num_heads": 3}


@pytest.mark.parametrize("found", [None, {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": {}}])
def test_without_a_configuration_of_hugging_face_nothing_is_known(found, tmp_path):
    if found:
        (tmp_path / "config.json").write_text(json.dumps(found))
    assert settings_beside(tmp_path / "model.safetensors", "huggingface") is None


def test_an_activation_by_a_librarys_name_is_the_librarys_function():
    from timm.layers import get_act_layer, get_norm_layer
    from transformers.activations import ACT2FN

    x = torch.linspace(-6, 6, 101)
    for name, form in ACTIVATIONS.items():
        assert (ACT2FN[name](x) - OurGELU(approximate=form)(x)).abs().max() < 2e-6, name
    for name, form in TIMMS_GELU.items():
        assert (get_act_layer(name)()(x) - OurGELU(approximate=form)(x)).abs().max() < 2e-6, name
    assert (OurGELU(approximate="tanh")(x) - OurGELU()(x)).abs().max() > 1e-4
    assert get_norm_layer("layernorm")(4).eps == 1e-6


def test_an_activation_that_is_no_gelu_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(huggingface_config(CONFIG) | {"hidden_act": "relu"}))
    with pytest.raises(UserError, match="config.json: hidden_act is 'relu', none of gelu"):
        settings_beside(tmp_path / "model.safetensors", "huggingface")


def test_timms_configuration_says_the_pooling_and_the_quick_gelu(tmp_path):
    def read(layout="timm", **found):
        (tmp_path / "config.json").write_text(json.dumps(found))
        return settings_beside(tmp_path / "model.safetensors", layout)

    assert read(architecture="vit_base_patch16_224", global_pool="token") == {"pool": "cls"}
    quick = {"gelu": "quick", "pool": "mean"}
    assert read(architecture="vit_base_patch16_clip_quickgelu_224", global_pool="avg") == quick
    assert read(architecture="vit_base_patch16_224") == {}
    assert read(**huggingface_config(CONFIG)) is None, "of another library"
    assert read("torchvision", architecture="vit_base_patch16_224", global_pool="avg") is None
    with pytest.raises(UserError, match="config.json: global_pool is 'avgmax': only token and avg are supported"):
        read(architecture="vit_base_patch16_224", global_pool="avgmax")


def test_the_arguments_that_change_timms_architecture_are_read_or_refused(tmp_path):
    def read(**arguments):
        (tmp_path / "config.json").write_text(json.dumps({
            "architecture": "vit_base_patch16_224", "global_pool": "token", "model_args": arguments,
            "pretrained_cfg": {"input_size": [3, 32, 48]}}))
        return settings_beside(tmp_path / "model.safetensors", "timm")

    assert read() == {"pool": "cls", "image_size": [32, 48]}
    assert read(act_layer="gelu_tanh", norm_layer="layernorm", global_pool="avg", num_heads=4, img_size=64) == {
        "gelu": "tanh", "norm_eps": 1e-6, "pool": "mean", "num_heads": 4, "image_size": [64, 64]}
    assert read(act_layer="quick_gelu", init_values=1.0, dynamic_img_size=True)["gelu"] == "quick"
    for arguments, complaint in (({"act_layer": "silu"}, "act_layer is 'silu', none of gelu, gelu_tanh, quick_gelu"),
                                 ({"norm_layer": "rmsnorm"}, "norm_layer is 'rmsnorm', none of layernorm"),
                                 ({"global_pool": "max"}, "global_pool is 'max'"),
                                 ({"pool_include_prefix": True}, "pool_include_prefix is set")):
        with pytest.raises(UserError, match=f"config.json: {complaint}"):
            read(**arguments)


def test_rotary_positions_that_no_tensor_shows_are_known_by_a_name(tmp_path):
    """timm's vit_*_rope_ape_* have DeiT III's tensors, and rotate q and k in every block."""
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_small_patch16_rope_ape_224"}))
    with pytest.raises(UserError, match="architecture vit_small_patch16_rope_ape_224 has rotary positions"):
        settings_beside(tmp_path / "model.safetensors", "timm")
    with pytest.raises(UserError, match="by the file's name, a network with rotary positions"):
        settings_beside(tmp_path / "bare/vit_small_patch16_rope_ape_224.naver_in1k.pth", "timm")
    assert settings_beside(tmp_path / "bare/europe.pth", "timm") is None


def test_the_kind_of_network_that_hugging_face_names(tmp_path):
    assert model_type(tmp_path / "model.safetensors") == ""
    (tmp_path / "config.json").write_text('{"model_type": "vit_mae"}')
    assert model_type(tmp_path / "model.safetensors") == "vit_mae"


@pytest.mark.parametrize(("value", "expected"), [
    (224, (224, 224)), ({"height": 32, "width": 48}, (32, 48)), ([3, 32, 48], (32, 48)), ({"shortest_edge": 32}, None),
    (None, None), ("224", None), (True, None), ([32], None), (0, None), ([3, 32, 48.0], None)])
def test_an_image_size_in_any_of_their_ways(value, expected):
    assert pair(value) == expected


def test_clips_whole_model_keeps_its_towers_settings_inside(tmp_path):
    from transformers import CLIPConfig, CLIPVisionConfig

    tower = CLIPVisionConfig(image_size=8, patch_size=4, num_attention_heads=2, hidden_act="gelu", layer_norm_eps=1e-3)
    CLIPConfig(vision_config=tower.to_dict()).save_pretrained(tmp_path)
    beside = tmp_path / "model.safetensors"
    assert settings_beside(beside, "huggingface") == {"gelu": "none", "norm_eps": 1e-3, "image_size": 8, "num_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"num_attention_heads": 16}}))
    assert settings_beside(beside, "huggingface") == {"gelu": "quick", "norm_eps": 1e-5, "num_heads": 16}


@pytest.mark.parametrize(("model", "gelu"), [({"quick_gelu": True}, "quick"), ({}, "none"), (None, "none")])
def test_open_clips_configuration_says_the_gelu_heads_and_epsilon(model, gelu, tmp_path):
    (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": model}))
    assert settings_beside(tmp_path / "open_clip_model.safetensors", "open_clip") == {"gelu": gelu}
    tower = {"width": 24, "head_width": 4, "norm_kwargs": {"eps": 1e-2}, "act_kwargs": {"approximate": "tanh"}}
    (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": (model or {}) | {"vision_cfg": tower}}))
    assert settings_beside(tmp_path / "open_clip_model.safetensors", "open_clip") == {
        "gelu": "tanh" if gelu == "none" else "quick", "norm_eps": 1e-2, "num_heads": 6}
    (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": {"vision_cfg": {"pool_type": "avg"}}}))
    with pytest.raises(UserError, match="the image tower pools by 'avg': only tok, the class token"):
        settings_beside(tmp_path / "open_clip_model.safetensors", "open_clip")


def test_open_clips_configuration_says_the_pooling_of_a_tower_of_timm(tmp_path):
    def read(**tower):
        (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": {"vision_cfg": tower}}))
        return settings_beside(tmp_path / "open_clip_model.safetensors", "timm")

    name = {"timm_model_name": "vit_base_patch16_224"}
    assert read(**name, timm_pool="") == {"pool": "cls"}
    assert read(**name, timm_pool="avg") == {"pool": "mean"}
    assert read(width=24) is None, "the tower is not timm's"
    with pytest.raises(UserError, match=f"{OPEN_CLIP}: global_pool is 'abs_attn': only token and avg"):
        read(**name, timm_pool="abs_attn")
    (tmp_path / "config.json").write_text("{}")
    assert read(**name, timm_pool="avg") is None, "timm's own configuration comes first"


@pytest.mark.parametrize(("content", "complaint"), [("{", "is not JSON"), ("[]", "is not a JSON object"),
                                                    ("[" * 10**5, "is not JSON"), (b"\xff\xfe", "is not JSON")])
def test_a_damaged_file_is_named(content, complaint, tmp_path):
    (tmp_path / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=f"config.json {complaint}"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_file_is_named(what, tmp_path):
    NO_FILES[what](tmp_path / "config.json")
    with pytest.raises(UserError, match=f"config.json, which describes .*, is {what}"):
        read_json(tmp_path / "config.json")
