import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from data_setup.loading.transforms import describe_preprocessing, image_reader
from functions.exporting.huggingface import load_folder, processed, write_folder
from functions.exporting.preparation import Preparation
from models import ViT, ViTConfig
from models.pretrained import load_pretrained, to_huggingface
from models.pretrained.config_files import huggingface_config
from tests.functions.exporting.test_preparation import FRAMES, MEAN, STD, prepared, save
from tests.models import parity

GRAY = ViTConfig(image_size=(24, 18), patch_size=6, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                 mlp_size=20, num_classes=3)
RGB = replace(GRAY, image_size=(12, 12), in_channels=3, norm_eps=1e-3, gelu="tanh")
NAMES = ["AD", "CN", "ä"]


def preparation(config):
    channels = config.in_channels
    return Preparation(config.image_size, "fit", 1.0, "bilinear", (0.3,) * channels, (0.2,) * channels)


def write(folder, config):
    model = parity.perturbed(ViT(config), 3)
    write_folder(folder, to_huggingface(model), huggingface_config(config), NAMES, preparation(config))
    return model


@pytest.mark.parametrize("config", [GRAY, RGB], ids=["gray, not square", "RGB, tanh"])
def test_transformers_gives_the_same_logits_and_the_weights_come_back(config, tmp_path):
    model = write(tmp_path, config)
    images = torch.randn(5, config.in_channels, *config.image_size, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = model(images)
    assert expected.std() > 0.2
    torch.testing.assert_close(load_folder(tmp_path)(images), expected, atol=1e-5, rtol=0)
    again = load_pretrained(ViT(replace(config, norm_eps=1e-6, gelu="none")), tmp_path / "model.safetensors")
    assert again.config == config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_transformers_knows_the_class_names(tmp_path):
    from transformers import AutoConfig

    write(tmp_path, GRAY)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.id2label == dict(enumerate(NAMES))
    assert config.label2id == {name: number for number, name in enumerate(NAMES)}
    assert config.architectures == ["ViTForImageClassification"]
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}, "older versions of transformers require it"


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"num_hidden_layers": 1}])
def test_a_tensor_that_transformers_misses_or_does_not_use_is_an_error(change, tmp_path):
    """from_pretrained would draw it at random, or leave it out, with a warning."""
    write(tmp_path, GRAY)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RuntimeError, match="transformers loads .* with .*(missing|unexpected)_keys"):
        load_folder(tmp_path)


@pytest.mark.parametrize("config", [GRAY, RGB], ids=["gray", "RGB"])
def test_its_image_processor_gets_the_pixels_before_resizing(config, tmp_path):
    write(tmp_path, config)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 18, config.in_channels), dtype=np.uint8)
    [found] = processed(tmp_path, [pixels])
    assert found.shape == (config.in_channels, *config.image_size)
    if config is GRAY:                           # the size is the model's already
        expected = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - 0.3) / 0.2
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame.mode}{frame.size}")
def test_transformers_prepares_images_nearly_so_or_refuses_them(frame, channels, tmp_path):
    """Of sizes whose scaling needs no rounding; on others `fit` and `crop` can be off by one pixel (`deviations`)."""
    from transformers import AutoImageProcessor

    preparation = prepared(frame, channels)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preparation.processor()))
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    assert preparation.can_resize == (frame != FRAMES[2])
    read = image_reader(describe_preprocessing(frame, channels, list(MEAN[:channels]), list(STD[:channels])))
    for size in [(36, 48), (18, 24), (80, 80)] if preparation.can_resize else [(18, 24)]:
        save(tmp_path / "slice.png", "L", size)
        expected = read(tmp_path / "slice.png") if preparation.can_resize else whole(tmp_path / "slice.png", channels)
        found = processor(Image.open(tmp_path / "slice.png"), return_tensors="pt")["pixel_values"][0]
        levels = (found - expected).abs().max() * STD[0] * 255
        assert levels < 1.5, size
    if not preparation.can_resize:
        save(tmp_path / "slice.png", "L", (40, 31))
        found = processor(Image.open(tmp_path / "slice.png"), return_tensors="pt")["pixel_values"][0]
        assert found.shape == (channels, 31, 40), "not resized: the network refuses it"


def whole(path, channels):
    pixels = torch.from_numpy(np.asarray(Image.open(path), np.float32) / 255).expand(channels, -1, -1)
    return (pixels - torch.tensor(MEAN[:channels]).view(-1, 1, 1)) / torch.tensor(STD[:channels]).view(-1, 1, 1)
