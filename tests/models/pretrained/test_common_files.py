"""The table of docs/weights.md: ten common files of weights, as their authors write them, at a small size.

What the program reads from each, and prints, is that of the table, and the features are those of the source's network.
"""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from models import VARIANTS, ViTConfig
from models.pretrained.preprocessing import HALF, IMAGENET, OPENAI
from models.pretrained.sources import find_pretrained, load_transfer
from tests.models import jax_reference
from tests.models.parity import perturbed
from tests.models.pretrained.families.networks import timm_vit

TINY = ViTConfig(patch_size=14, num_layers=2, embedding_dim=12, num_heads=3, mlp_size=48)
SIZES = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48, "image_size": 28,
         "patch_size": 14}
TABLE = Path(__file__).parents[3] / "docs/weights.md"
NAMES = {HALF: "0.5", IMAGENET: "ImageNet's", OPENAI: "CLIP's"}
PROCESSOR = {"do_normalize": True, "do_center_crop": True, "image_mean": IMAGENET[0], "image_std": IMAGENET[1],
             "resample": 3, "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256}}


def vit(**options):
    return timm_vit(img_size=28, patch_size=14, **options)


def write(file, tensors, **beside):
    file.parent.mkdir(parents=True, exist_ok=True)
    (save_file if file.suffix == ".safetensors" else torch.save)(tensors, file)
    for name, content in beside.items():
        (file.parent / f"{name}.json").write_text(json.dumps(content))
    return file


def timms_config(architecture, **changes):
    from timm.models.vision_transformer import _cfg

    return {"architecture": architecture, "global_pool": "token",
            "pretrained_cfg": {key: value for key, value in (_cfg() | changes).items() if value is not None}}


def torchvision_file(folder):
    net = perturbed(torchvision.models.VisionTransformer(28, 14, 2, 3, 12, 48, num_classes=7), 0)
    file = write(folder / "vit_b_16.pth", net.state_dict())
    net.heads = nn.Identity()
    return file, net


def timm_file(folder):
    net = vit()
    return write(folder / "model.safetensors", net.state_dict(), config=timms_config(
        "vit_tiny_patch16_224", input_size=(3, 28, 28))), net


def transformers_folder(folder):
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    net = perturbed(ViTModel(ViTConfig(**SIZES)), 0)
    net.save_pretrained(folder)
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder, lambda images: net(images).last_hidden_state[:, 0]


def authors_file(folder):
    arrays = jax_reference.make_arrays(14, 12, 3, 48, 2, (2, 2), 12)
    arrays |= {"head/kernel": np.eye(12, dtype=np.float32), "head/bias": np.zeros(12, np.float32)}
    np.savez(folder / "B_16-i21k-300ep.npz", **arrays)
    return folder / "B_16-i21k-300ep.npz", lambda images: torch.from_numpy(
        jax_reference.forward(arrays, images.permute(0, 2, 3, 1).numpy()))


def dino_file(folder):
    net = vit()
    return write(folder / "dino_vitbase16_pretrain.pth", net.state_dict()), net


def dinov2_folder(folder):
    from transformers import Dinov2Config, Dinov2Model

    net = perturbed(Dinov2Model(Dinov2Config(**SIZES | {"image_size": 518})), 0)
    net.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder, lambda images: net(images).last_hidden_state[:, 0]


def dinov2_file(folder):
    """facebookresearch/dinov2's positions are resized by a factor, timm's not: compared without resizing."""
    net = vit(init_values=1.0)
    return write(folder / "dinov2_vits14_pretrain.pth", net.state_dict() | {"mask_token": torch.zeros(1, 12)}), net


def deit_file(folder):
    net = vit(num_classes=7)
    file = write(folder / "deit_base_patch16_224.pth", {"model": net.state_dict()})
    net.reset_classifier(0)
    return file, net


def mae_file(folder):
    net = vit()
    return write(folder / "mae_pretrain_vit_base.pth", {"model": net.state_dict()}), net


def mae_finetuned_file(folder):
    net = vit(global_pool="avg", fc_norm=True, num_classes=7)
    file = write(folder / "mae_finetuned_vit_base.pth", {"model": net.state_dict()})
    net.reset_classifier(0)
    return file, net


def moco_file(folder):
    net = vit()
    return write(folder / "vit-b-300ep.pth.tar", {"epoch": 300, "state_dict": {
        **{f"module.base_encoder.{name}": t for name, t in net.state_dict().items()},
        **{f"module.momentum_encoder.{name}": t + 1 for name, t in net.state_dict().items()}}}), net


def clip_folder(folder):
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    net = perturbed(CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=5)), 0)
    net.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder, lambda images: net.vision_model(images).pooler_output


def laion_file(folder):
    net = vit(pre_norm=True, norm_layer=partial(nn.LayerNorm, eps=1e-5))
    return write(folder / "model.safetensors", net.state_dict(), config=timms_config(
        "vit_base_patch32_clip_224", mean=OPENAI[0], std=OPENAI[1], input_size=(3, 28, 28), crop_pct=1.0)), net


FILES = {
    "torchvision's `vit_b_16-c867db91.pth`": torchvision_file, "timm's augreg, with its `config.json`": timm_file,
    "`google/vit-base-patch16-224-in21k`": transformers_folder, "the authors' `B_16-….npz`": authors_file,
    "`dino_vitbase16_pretrain.pth`": dino_file, "`facebook/dinov2-base`": dinov2_folder,
    "`dinov2_vitb14_pretrain.pth`": dinov2_file, "`deit_base_patch16_224-b5f2ef4d.pth`": deit_file,
    "`mae_pretrain_vit_base.pth`": mae_file, "`mae_finetuned_vit_base.pth`": mae_finetuned_file,
    "MoCo v3's `vit-b-300ep.pth.tar`": moco_file, "`openai/clip-vit-base-patch16`": clip_folder,
    "`timm/vit_base_patch32_clip_224.laion2b`": laion_file}


def rows():
    """The cells of the table's rows, by the first one."""
    found = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in TABLE.read_text(encoding="utf-8")
             .splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in found}


@pytest.mark.parametrize("name", FILES)
def test_a_common_file_is_read_as_the_table_says_and_has_its_networks_features(name, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_14", TINY)
    torch.manual_seed(0)
    source, net = FILES[name](tmp_path)
    found = find_pretrained("vit_b_14", source, "auto", None, 3)
    size = found.config.image_size
    assert size == ((224, 224) if "dinov2" in name else (28, 28))
    if name == "`dinov2_vitb14_pretrain.pth`":
        found = find_pretrained("vit_b_14", source, "auto", (28, 28), 3)
        size = (28, 28)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 0.5
    with torch.no_grad():
        difference = (load_transfer(found, 2).eval().backbone(images) - net(images)).abs().max()
    assert difference < 2e-5
    gray, pixels = find_pretrained("vit_b_14", source, "auto", size, 1), images[:, :1].abs()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (found.mean, found.std))
    with torch.no_grad():
        difference = (load_transfer(gray, 2).eval().backbone((pixels - gray.mean[0]) / gray.std[0])
                      - net((pixels.repeat(1, 3, 1, 1) - mean) / std)).abs().max()
    assert difference < 2e-5, "a gray image has the features of its RGB copy"
    frame, config = found.frame, found.config
    crop = f"crop {frame['share']:.3g}" if frame["mode"] == "crop" else "stretched"
    gelu = {"none": "exact", "tanh": "tanh", "quick": "quick"}[config.gelu]
    features = {"cls": "class token", "mean": "mean, after the norm", "mean_then_norm": "mean, before the norm"}
    cells = [NAMES[tuple(found.mean), tuple(found.std)], f"{crop}, {frame['interpolation']}", f"{config.norm_eps:g}",
             gelu, features[config.pool]]
    assert rows()[name][:5] == cells
    assert f"LayerNorm epsilon {config.norm_eps:g}, {gelu} GELU, features: the" in " ".join(found.notes)
    assert re.search("mean .* std .*", found.notes[-1])


def test_every_row_of_the_table_is_tested():
    assert {name for name in rows() if rows()[name][0] in NAMES.values()} == set(FILES)
