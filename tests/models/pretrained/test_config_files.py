import json
from dataclasses import replace

import pytest

from functions.runtime.errors import UserError
from models import ViTConfig
from models.pretrained.config_files import OPEN_CLIP, huggingface_config, read_json, settings_beside
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


def test_clips_whole_model_keeps_its_towers_settings_inside(tmp_path):
    from transformers import CLIPConfig, CLIPVisionConfig

    tower = CLIPVisionConfig(image_size=8, patch_size=4, num_attention_heads=2, hidden_act="gelu", layer_norm_eps=1e-3)
    CLIPConfig(vision_config=tower.to_dict()).save_pretrained(tmp_path)
    beside = tmp_path / "model.safetensors"
    assert settings_beside(beside, "huggingface") == {"gelu": "none", "norm_eps": 1e-3, "image_size": 8, "num_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": {"num_attention_heads": 16}}))
    assert settings_beside(beside, "huggingface") == {"gelu": "quick", "norm_eps": 1e-5, "num_heads": 16}


@pytest.mark.parametrize(("model", "gelu"), [({"quick_gelu": True}, "quick"), ({}, "none"), (None, "none")])
def test_open_clips_configuration_says_the_gelu(model, gelu, tmp_path):
    (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": model}))
    assert settings_beside(tmp_path / "open_clip_model.safetensors", "open_clip") == {"gelu": gelu}
    (tmp_path / OPEN_CLIP).write_text(json.dumps({"model_cfg": {"vision_cfg": {"pool_type": "avg"}}}))
    with pytest.raises(UserError, match="the image tower pools by 'avg': only tok, the class token"):
        settings_beside(tmp_path / "open_clip_model.safetensors", "open_clip")


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
