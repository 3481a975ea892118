import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import ViT_B_16_Weights

from data_setup.images.resize import Frame
from functions.runtime.errors import UserError
from models import VARIANTS, ViT
from models.pretrained.preprocessing import DEIT, IMAGENET, _from_config_file
from models.pretrained.sources import find_pretrained
from tests.conftest import NO_FILES
from tests.functions.plain import hostile_pairs, json_variants, places, refusal, with_value
from tests.models.pretrained.test_key_maps import tensors_of
from tests.models.pretrained.test_load import SMALL


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_16", SMALL)


def found(path, source="timm", image_size=None, **arguments):
    path.parent.mkdir(exist_ok=True)
    torch.save(tensors_of(source), path)
    return find_pretrained("vit_b_16", path, "ours", image_size, 3, **arguments)


HALF, MEANS, STDS = [0.5] * 3, list(IMAGENET[0]), list(IMAGENET[1])


@pytest.mark.parametrize("name", ["deit_base.pth", "dino_vitbase16_pretrain.pth", "mae_pretrain_vit_base.pth",
                                  "vit_base_patch16_224.dino.bin", "linear-vit-b-300ep-moco.pth.tar", "DeiT-B.pt"])
def test_relatives_with_timms_names_get_imagenets_mean_and_std(tmp_path, name):
    images = found(tmp_path / name).images
    assert (images.mean, images.std) == (MEANS, STDS)
    assert images.frame == {"mode": "crop", "share": 224 / 256, "interpolation": "bicubic"}
    assert "by the name" in images.origin


@pytest.mark.parametrize("name", ["vit_base.pth", "maestro.pth", "augreg.npz"])
def test_what_nothing_says_is_called_an_assumption(tmp_path, name):
    pretrained = found(tmp_path / name)
    assert (pretrained.mean, pretrained.std) == (HALF, HALF)
    [note] = [note for note in pretrained.notes if note.startswith("images")]
    assert note.startswith("images 12x12, cropped (0.923 of the side), bicubic, mean 0.5 0.5 0.5, std 0.5 0.5 0.5 (ass")
    assert "--mean and --std" in note


def test_a_teacher_or_a_momentum_encoder_in_the_file_is_known_too(tmp_path):
    torch.save({"teacher": {f"backbone.{name}": tensor for name, tensor in tensors_of("timm").items()
                            if not name.startswith("head")}, "epoch": 1}, tmp_path / "checkpoint.pth")
    assert find_pretrained("vit_b_16", tmp_path / "checkpoint.pth", "ours", None, 3).mean == MEANS


def test_deits_and_torchvisions_files_are_known_by_their_hash_under_any_name(tmp_path, monkeypatch):
    monkeypatch.setattr("models.pretrained.places.folders.file_hash", lambda path: "b5f2ef4d" + "0" * 56)
    images = found(tmp_path / "renamed.bin").images
    assert (images.mean, images.frame["share"]) == (MEANS, 224 / 256)
    assert "DeiT's, by the file's hash" in images.origin
    swag = ViT_B_16_Weights.IMAGENET1K_SWAG_LINEAR_V1
    monkeypatch.setattr("models.pretrained.places.folders.file_hash", lambda path: "4e70ced5" + "0" * 56)
    pretrained = found(tmp_path / "renamed.pth", "torchvision")
    assert pretrained.frame == {"mode": "crop", "share": 1.0, "interpolation": "bicubic"}
    assert swag.name in pretrained.source
    assert "by the file's hash" in pretrained.notes[-1]


def test_hugging_faces_processor_beside_the_file_says_it(tmp_path):
    processor = {"do_normalize": True, "image_mean": MEANS, "image_std": STDS, "resample": 3, "size": 256,
                 "do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    images = found(tmp_path / "model.safetensors", "huggingface").images
    assert (images.mean, images.std) == (MEANS, STDS)
    assert images.frame == {"mode": "crop", "share": 224 / 256, "interpolation": "bicubic"}
    assert images.origin == "preprocessor_config.json beside the file"
    plain = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3, "size": {"height": 224, "width": 224}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(plain))
    images = found(tmp_path / "model.safetensors", "huggingface").images
    assert images.frame == {"mode": "stretch", "share": 1.0, "interpolation": "bilinear"}
    assert images.mean == [0.1, 0.2, 0.3]


def test_the_description_of_an_export_comes_before_its_approximation_for_the_hub(tmp_path):
    """transformers' processor has no name for "fitted on black": read alone, it would say "crop"."""
    own = {"fit": "scaled to fit, proportions kept, centred on black", "interpolation": "bilinear, antialiased",
           "crop_share": 1.0, "mean": [0.2], "std": [0.3]}
    (tmp_path / "description.json").write_text(json.dumps({"preprocessing": own}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": [0.5], "image_std": [0.5], "size": {"max_height": 96, "max_width": 80}, "do_center_crop": True,
         "crop_size": {"height": 96, "width": 80}}))
    images = found(tmp_path / "model.safetensors", "huggingface").images
    assert (images.described["fit"], images.mean, images.std) == (own["fit"], [0.2] * 3, [0.3] * 3)
    assert images.origin == "description.json beside the file"
    (tmp_path / "description.json").write_text(json.dumps({"preprocessing": {"resize": 224}}))       # another program's
    assert found(tmp_path / "model.safetensors", "huggingface").images.mean == [0.5] * 3


def test_a_configuration_beside_weights_under_torchvisions_names_is_read_too(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "crop_pct": 1.0}))
    images = found(tmp_path / "mine.pth", "torchvision").images
    assert (images.mean, images.origin) == ([0.1, 0.2, 0.3], "config.json beside the file")


def test_timms_configuration_beside_the_file_says_it(tmp_path):
    config = {"architecture": "vit_base_patch16_224", "pretrained_cfg": {
        "mean": MEANS, "std": STDS, "crop_pct": 0.8, "interpolation": "bilinear"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = found(tmp_path / "model.safetensors").images
    assert (images.mean, images.std) == (MEANS, STDS)
    assert images.frame == {"mode": "crop", "share": 0.8, "interpolation": "bilinear"}
    assert images.origin == "config.json beside the file"


@pytest.mark.parametrize(("file", "content", "complaint"), [
    ("preprocessor_config.json", "{", "preprocessor_config.json is not JSON"),
    ("preprocessor_config.json", "[" * 100_000, "preprocessor_config.json is not JSON"),
    ("preprocessor_config.json", "[1]", "is not a JSON object"),
    ("preprocessor_config.json", '{"image_mean": [0.5], "image_std": [0]}', "image_std is .*above 0"),
    ("preprocessor_config.json", '{"image_mean": "x", "image_std": [1]}', "image_mean is x"),
    ("preprocessor_config.json", '{"image_mean": [NaN, 1, 1], "image_std": [1]}', "image_mean is .nan"),
    ("preprocessor_config.json", '{"image_mean": [0.5], "image_std": [1], "resample": 1}', "resample is 1"),
    ("preprocessor_config.json", '{"image_mean": [0.5], "image_std": [1], "size": "big"}', "size is big"),
    *(("preprocessor_config.json", f'{{"image_mean": [0.5], "image_std": [1], "resample": {value}}}', "resample is")
      for value in ("[]", "{}", "true", "2.0", '"2"', "null")),
    ("preprocessor_config.json", f'{{"image_mean": [{10**400}], "image_std": [1]}}', "image_mean is .1000"),
    ("preprocessor_config.json", '{"image_mean": [0.5], "image_std": [1e300]}', "image_std is .1e.300"),
    ("preprocessor_config.json", '{"image_mean": [0.5], "image_std": [1], "do_center_crop": true, "size": 65535, '
     '"crop_size": 1}', "crop_size 1 is 1.5e-05 of size 65535, less than 0.1"),
    *(("config.json", f'{{"mean": [1], "std": [1], "crop_pct": {share}}}', f"crop_pct is {share}, not a share from 0.1")
      for share in ("1e-09", "1e-300", "0.09", "-1", "2")),
    ("config.json", '{"mean": [1, 2], "std": [1]}', "mean is .1, 2."),
    ("config.json", '{"mean": [1], "std": [1], "crop_pct": 0}', "crop_pct is 0"),
    ("config.json", '{"mean": [1], "std": [1], "interpolation": "random"}', "interpolation is random"),
])
def test_a_configuration_that_cannot_be_used_is_one_line_with_file_and_key(tmp_path, file, content, complaint):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=complaint) as refusal:
        found(tmp_path / "model.bin")
    assert "\n" not in str(refusal.value)
    assert file in str(refusal.value)


@pytest.mark.parametrize("missing", ["fit", "interpolation"])
def test_our_own_checkpoint_says_how_images_are_resized(tmp_path, missing):
    preprocessing = {"mean": [0.5], "std": [0.5], "fit": "cropped", "interpolation": "bilinear"}
    torch.save({"format": 1, "weights": tensors_of("ours"), "config": {}, "preprocessing": preprocessing},
               tmp_path / "ours.pt")
    pretrained = find_pretrained("vit_b_16", tmp_path / "ours.pt", "ours", None, 3)
    assert pretrained.description == {"fit": "cropped", "interpolation": "bilinear", "image_size": [12, 12]}
    del preprocessing[missing]
    torch.save({"format": 1, "weights": tensors_of("ours"), "config": {}, "preprocessing": preprocessing},
               tmp_path / "ours.pt")
    with pytest.raises(UserError, match=f"ours.pt for .*: the checkpoint's preprocessing: {missing} is missing"):
        find_pretrained("vit_b_16", tmp_path / "ours.pt", "ours", None, 3)


def test_any_value_in_our_own_checkpoint_is_a_line_or_is_read(tmp_path, monkeypatch):
    config = replace(SMALL, num_layers=1)
    monkeypatch.setitem(VARIANTS, "vit_b_16", config)
    weights = ViT(config).state_dict()
    whole = {"format": 1, "weights": {}, "frozen": "", "config": {"kind": "TransferConfig", "model": "vit_b_16",
             "norm_eps": 1e-6, "gelu": "none", "image_size": [12, 12], "num_heads": 3}, "preprocessing": {
             "mean": [0.5], "std": [0.5], "fit": "cropped", "crop_share": 1.0, "interpolation": "bilinear"}}
    for place, value in hostile_pairs(places(whole)):
        content = with_value(whole, place, value)
        if content.get("weights") == {}:
            content["weights"] = weights
        torch.save(content, tmp_path / "ours.pt")
        line = refusal(lambda: find_pretrained("vit_b_16", tmp_path / "ours.pt", "ours", None, 3))
        assert not line or "ours.pt" in line


def test_any_value_in_a_configuration_beside_the_file_is_a_line_or_is_read(tmp_path):
    processor = {"image_mean": [0.5], "image_std": [0.5], "resample": 3, "size": {"shortest_edge": 256},
                 "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_normalize": True}
    timm = {"pretrained_cfg": {"mean": MEANS, "std": STDS, "crop_pct": 0.8, "interpolation": "bilinear"}}
    for name, content in (("config.json", timm), ("preprocessor_config.json", processor)):
        for text in json_variants(content):
            (tmp_path / name).write_text(text)
            line = refusal(lambda: (settings := _from_config_file(tmp_path / "w.pth")) and settings.summary((8, 8)))
            assert not line or f"{name}" in line
        (tmp_path / name).unlink()


def test_flags_beat_what_the_weights_say(tmp_path):
    pretrained = found(tmp_path / "dino.pth", mean=(0.1,), std=(0.2, 0.3, 0.4))
    assert (pretrained.mean, pretrained.std) == ([0.1] * 3, [0.2, 0.3, 0.4])
    assert "--mean and --std; the rest: " in pretrained.images.origin
    path = tmp_path / "dino.pth"
    gray = find_pretrained("vit_b_16", path, "ours", None, 1, std=(0.2, 0.3, 0.4))
    assert gray.std == pytest.approx([0.3])
    assert gray.mean == pytest.approx([sum(MEANS) / 3])


def test_weights_that_never_say_it_are_used_with_the_flags_alone(tmp_path):
    with pytest.raises(UserError, match="does not say how its images were prepared: specify --mean and --std"):
        found(tmp_path / "ours.pth", "ours")
    pretrained = found(tmp_path / "ours.pth", "ours", mean=(0.1,), std=(0.2,))
    assert (pretrained.mean, pretrained.std, pretrained.frame["mode"]) == ([0.1] * 3, [0.2] * 3, "fit")


def test_random_weights_and_resnets_take_the_flags_too(tmp_path):
    assert find_pretrained("vit_b_16", "random", "ours", (8, 8), 1, mean=(0.3,)).mean == [0.3]
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet.pth")
    pretrained = find_pretrained("resnet18", tmp_path / "resnet.pth", "torchvision", None, 3, std=(0.2,))
    assert (pretrained.mean, pretrained.std) == (MEANS, [0.2] * 3)


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_a_configuration_that_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "config.json")
    with pytest.raises(UserError, match=f"config.json, which describes .*, is {kind}"):
        _from_config_file(tmp_path / "w.pth")


@pytest.mark.parametrize(("crop", "share", "mode"), [("center", 0.9, "crop"), ("squash", 1.0, "stretch"),
                                                     ("squash", 0.9, None), ("border", 1.0, None), (3, 1.0, None)])
def test_timms_crop_mode_is_followed_or_refused(crop, share, mode, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"mean": MEANS, "std": STDS, "crop_pct": share,
                                                      "crop_mode": crop}))
    if mode:
        assert _from_config_file(tmp_path / "w.pth").frame["mode"] == mode
    else:
        with pytest.raises(UserError, match="crop_mode is"):
            _from_config_file(tmp_path / "w.pth")


@pytest.mark.parametrize(("changes", "mean", "std"), [
    ({}, [0.1, 0.2, 0.3], [0.5] * 3), ({"rescale_factor": None}, [0.1, 0.2, 0.3], [0.5] * 3),
    ({"rescale_factor": 1 / 127.5}, [0.05, 0.1, 0.15], [0.25] * 3),
    ({"do_rescale": False, "image_mean": [51.0, 102.0, 153.0], "image_std": 127.5}, [0.2, 0.4, 0.6], [0.5]),
    ({"do_rescale": False, "do_normalize": False}, [0.0], [1 / 255])])
def test_mean_and_std_are_those_of_pixels_from_0_to_1(changes, mean, std, tmp_path):
    """(f p - mean) / std of a pixel p of 0 … 255, f the rescale_factor, or 1 without rescaling."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5] * 3, "rescale_factor": 1 / 255} | changes))
    images = _from_config_file(tmp_path / "model.safetensors")
    assert images.mean == pytest.approx(mean)
    assert images.std == pytest.approx(std)


@pytest.mark.parametrize("factor", [0, -1, "1/255", True, [1]])
def test_a_rescale_factor_that_is_none_is_refused(factor, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": HALF, "image_std": HALF, "rescale_factor": factor}))
    with pytest.raises(UserError, match="preprocessor_config.json: rescale_factor is .*, not a number above 0"):
        _from_config_file(tmp_path / "model.safetensors")


def test_what_timms_configuration_leaves_out_is_what_timm_assumes(tmp_path):
    from timm.data import resolve_data_config

    given = {"mean": HALF, "std": HALF, "crop_pct": None, "interpolation": None, "crop_mode": None}
    for config in (given, {"mean": HALF, "std": HALF}):
        (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit", "pretrained_cfg": config}))
        theirs, ours = resolve_data_config(pretrained_cfg=config), _from_config_file(tmp_path / "x.pth").frame
        assert ours == {"mode": "crop", "share": theirs["crop_pct"], "interpolation": theirs["interpolation"]}


@pytest.mark.parametrize(("share", "side", "shape", "beside"), [
    (0.9, 224, (52, 44), True), (0.9, 224, (31, 62), False), (0.95, 224, (31, 62), True), (1.0, 32, (60, 45), True),
    (0.875, 32, (45, 60), True)])
def test_the_pixels_are_those_of_timms_transform(share, side, shape, beside, tmp_path):
    """224 / 0.9 is 248.9: timm resizes to 248 pixels, from which the middle 224 are taken, and not to 249."""
    from timm.data import create_transform

    if beside:
        (tmp_path / "config.json").write_text(json.dumps({"mean": HALF, "std": HALF, "crop_pct": share}))
    read = found(tmp_path / "model.bin", image_size=(side, side))
    slice_ = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels = Frame((side, side), **read.frame)(slice_)
    theirs = create_transform((3, side, side), interpolation="bicubic", mean=[0.0] * 3, std=[1.0] * 3,
                              crop_pct=share)(Image.fromarray(slice_))
    assert np.array_equal(pixels, (theirs.permute(1, 2, 0) * 255).round().numpy())


def test_the_pixels_are_those_of_transformers_processors_but_for_rounding(tmp_path):
    """Their default backend resizes with torchvision, which rounds otherwise than Pillow."""
    from transformers import BitImageProcessor, CLIPImageProcessor, ViTImageProcessor

    slice_ = np.random.default_rng(0).integers(0, 256, (52, 44, 3), dtype=np.uint8)
    dinov2 = BitImageProcessor(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224})
    for processor in (ViTImageProcessor(), CLIPImageProcessor(), dinov2):
        processor.save_pretrained(tmp_path)
        read = found(tmp_path / "model.bin")
        assert read.config.image_size == (224, 224)
        pixels = Frame((224, 224), **read.frame)(slice_)
        theirs = np.asarray(processor(slice_, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
        theirs = (theirs * np.array(read.std) + np.array(read.mean)) * 255
        difference = np.abs(pixels - theirs)
        assert difference.max() < 2.01
        assert difference.mean() < 0.2


def test_an_encoder_of_mae_is_known_by_hugging_faces_configuration(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.json").write_text('{"model_type": "vit_mae"}')
    assert found(tmp_path / "a/pytorch_model.bin", "huggingface").mean == MEANS
    assert found(tmp_path / "b/pytorch_model.bin", "huggingface").mean == HALF


@pytest.mark.parametrize("size", ["tiny_patch16_224", "small_patch16_224", "base_patch16_224", "base_patch16_384"])
def test_the_share_of_deits_files_is_timms(size):
    from timm import get_pretrained_cfg

    theirs = get_pretrained_cfg(f"deit_{size}")
    digest = theirs.url.removesuffix(".pth").rsplit("-", 1)[1]
    assert DEIT[digest] == pytest.approx(theirs.crop_pct, abs=0.026), "0.9 in timm, 224 / 256 in facebookresearch/deit"
    assert (DEIT[digest] == 1) == (theirs.crop_pct == 1)
