"""Image preprocessing of pretrained weights: mean, std, crop and interpolation, and their origin.

Weight files rarely state it. It is taken, in this order, from: our own checkpoint's preprocessing; a configuration
beside the file (Hugging Face's preprocessor_config.json, timm's config.json); torchvision's and DeiT's files, known by
their hash; the file's name (DeiT, DINO, MAE, … have timm's tensor names, but ImageNet's mean and std); else the
library's usual values, which are reported as an assumption.
Sources: timm/models/vision_transformer.py and deit.py, `_cfg`; transformers, ViTImageProcessor; vit_jax,
input_pipeline.py; facebookresearch/dino, eval_linear.py; facebookresearch/mae, util/datasets.py; 
facebookresearch/moco-v3, main_lincls.py; openai/CLIP, clip/clip.py.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights, list_models

from functions.runtime.errors import UserError
from models.pretrained.config_files import OPEN_CLIP, model_type, pair, read_json

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))     # CLIP
PRESETS = {      # frame, share kept, interpolation, (mean, std)
    "timm": ("crop", 0.9, "bicubic", HALF),
    "huggingface": ("stretch", 1.0, "bilinear", HALF),
    "jax": ("stretch", 1.0, "bilinear", HALF),
    "ImageNet": ("crop", 224 / 256, "bicubic", IMAGENET),
    "MoCo v3": ("crop", 224 / 256, "bilinear", IMAGENET),
    "CLIP": ("crop", 1.0, "bicubic", OPENAI),
}
OF_FAMILY = {"DINOv2": ("ImageNet", (224, 224)), "DeiT III": ("ImageNet", None), "MAE": ("ImageNet", None),
             "MoCo v3": ("MoCo v3", None), "CLIP": ("CLIP", None)}      # preset, size if not that of the positions
DEIT = {"a1311bcf": 224 / 256, "cd65a155": 224 / 256, "b5f2ef4d": 224 / 256, "8de9b5d1": 1.0}      # SHA-256 → share
IMAGENET_NAMES = r"deit|dino|mae(?![a-z])|moco|ibot|msn|beit|teacher|student|base_encoder|momentum_encoder"
PATCHES = "patch_embedding.project"
PIL = {2: "bilinear", 3: "bicubic"}
MIN_SHARE = 0.1          # of the side that a crop keeps; smaller shares would resize the whole image to gigabytes
MAX_VALUE = 1e6          # of mean and std; pixel values are between 0 and 1, or 0 and 255
MODE_NAMES = {"crop": "cropped", "stretch": "stretched", "fit": "fitted"}


@dataclass(frozen=True)
class ImageSettings:
    """The preprocessing of images for some weights, and its origin."""

    frame: dict                          # mode, share, interpolation
    mean: list[float]
    std: list[float]
    origin: str
    described: dict | None = None        # the frame as our own checkpoint describes it, in place of `frame`
    size: tuple[int, int] | None = None  # height and width, if not that of the positions
    whole_pixels: bool = False           # whether the side before a crop is rounded down to whole pixels, as by timm

    def at(self, size: tuple[int, int]) -> "ImageSettings":
        """The settings for images of `size`; of a square one, timm resizes to floor(side / share) pixels, then crops.

        Source: timm/data/transforms_factory.py, `transforms_imagenet_eval`: 224 / 0.9 is 248, not 249.
        """
        if not self.whole_pixels or self.frame["mode"] != "crop" or size[0] != size[1]:
            return self
        resized = math.floor(size[0] / self.frame["share"])
        return replace(self, frame=self.frame | {"share": size[0] / resized})

    def summary(self, size: tuple[int, int]) -> str:
        """One line: size, crop, interpolation, mean, std, origin."""
        if self.described:
            frame = ", ".join(str(self.described[name]) for name in ("fit", "interpolation") if name in self.described)
        else:
            share = f" ({self.frame['share']:.3g} of the side)" if self.frame["mode"] == "crop" else ""
            frame = f"{MODE_NAMES[self.frame['mode']]}{share}, {self.frame['interpolation']}"
        mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        return f"images {size[0]}x{size[1]}, {frame}, mean {mean}, std {std} ({self.origin})"


def find_image_settings(model: str, source: str, path: Path, digest: str, where: str, known: WeightsEnum | None,
                        native: tuple[int, int], preprocessing: dict | None = None,
                        family: str = "") -> ImageSettings | None:
    """The settings for a file of weights, mean and std for three channels; None if they are unknown.

    `where` are the containers and prefixes that the tensors were found in, `preprocessing` our own checkpoint's,
    `family` what the tensors are of (families/relatives.py).
    """
    if preprocessing is not None:
        return _from_checkpoint(preprocessing)
    if known:
        what = "name" if known.url.endswith(f"/{path.name}") else "hash"
        return from_preset(known, f"torchvision's {known.name}, by the file's {what}")
    if found := _from_config_file(path):
        return found
    if source == "timm" and digest[:8] in DEIT:
        return replace(_from_preset("ImageNet", "DeiT's, by the file's hash"),
                       frame={"mode": "crop", "share": DEIT[digest[:8]], "interpolation": "bicubic"})
    if family in OF_FAMILY:
        preset_name, size = OF_FAMILY[family]
        assumed = f"{preset_name}'s, as the tensors are those of {family}; override with --mean and --std"
        return replace(_from_preset(preset_name, assumed), size=size)
    hints = f"{path.name} {where} {model_type(path)}".lower() if source in ("timm", "huggingface") else ""
    if name := re.search(IMAGENET_NAMES, hints):
        return _from_preset("ImageNet", f'ImageNet\'s, by the name "{name[0]}"; override with --mean and --std')
    if source == "torchvision":
        sizes = {tuple(w.transforms().crop_size * 2)[:2]: w for w in reversed(torchvision_weights(model))}
        preset = sizes.get(native) or default_preset(model)
        return from_preset(preset, f"assumed: torchvision's {preset.name}; override with --mean and --std")
    if source not in PRESETS:
        return None
    others = "those of DeiT, DINO and MAE have ImageNet's mean and std: " if source != "jax" else ""
    return _from_preset(source, f"assumed: {source}'s most common settings; {others}override with --mean and --std")


def torchvision_weights(model: str) -> list[WeightsEnum]:
    """torchvision's weights of a model, the best first; [] for a size that it does not have."""
    return list(get_model_weights(model)) if model in list_models() else []


def default_preset(model: str) -> WeightsEnum:
    """torchvision's default weights of a model, for their preprocessing; those of ViT-B/16 for sizes without any."""
    return get_model_weights(model if torchvision_weights(model) else "vit_b_16").DEFAULT


def from_preset(known: WeightsEnum, origin: str) -> ImageSettings:
    """torchvision's own transforms of these weights."""
    preset = known.transforms()
    frame = {"mode": "crop", "share": preset.crop_size[0] / preset.resize_size[0],
             "interpolation": preset.interpolation.value}
    return ImageSettings(frame, list(preset.mean), list(preset.std), origin)


def for_channels(settings: ImageSettings, in_channels: int, mean: Sequence[float] | None,
                 std: Sequence[float] | None) -> ImageSettings:
    """The settings with mean and std from flags, one value per channel; gray images get the average."""
    given = [f"--{name}" for name, values in (("mean", mean), ("std", std)) if values]
    origin = f"{' and '.join(given)}; the rest: {settings.origin}" if given else settings.origin
    return replace(settings, origin=origin, mean=_per_channel(list(mean or settings.mean), in_channels),
                   std=_per_channel(list(std or settings.std), in_channels))


def with_gray_kernel(weights: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]) -> dict[str, Tensor]:
    """A ViT's weights whose RGB kernel, summed over channels, sees a gray image as it saw its RGB copy.

    A channel c of the copy is (x - m_c) / s_c, the gray image (x - m) / s with the averages m and s: K_c ← K_c s / s_c,
    b ← b + Σ_c Σ_pixels K_c (m - m_c) / s_c. The weights as they are if all channels have the same mean and std.
    """
    kernel, bias = weights[f"{PATCHES}.weight"], weights[f"{PATCHES}.bias"]
    if kernel.shape[1] != 3 or len(set(mean)) == len(set(std)) == 1:
        return dict(weights)
    of_channels = (torch.tensor(_per_channel(list(values), 3), dtype=torch.float64) for values in (mean, std))
    m, s = (values.view(1, 3, 1, 1) for values in of_channels)
    shift = (kernel.double() * ((m.mean() - m) / s)).sum(dim=(1, 2, 3))
    return dict(weights) | {f"{PATCHES}.weight": (kernel * (s.mean() / s)).to(kernel.dtype),
                            f"{PATCHES}.bias": (bias + shift).to(bias.dtype)}


def _per_channel(values: list[float], in_channels: int) -> list[float]:
    if len(values) == in_channels:
        return values
    return [sum(values) / len(values)] * in_channels


def _from_preset(name: str, origin: str) -> ImageSettings:
    mode, share, interpolation, (mean, std) = PRESETS[name]
    return ImageSettings({"mode": mode, "share": share, "interpolation": interpolation}, list(mean), list(std), origin,
                         whole_pixels=name == "timm")


def _from_checkpoint(preprocessing: dict, origin: str = "the checkpoint's own preprocessing") -> ImageSettings:
    mean, std = (_values(preprocessing, name, name, "the checkpoint's preprocessing") for name in ("mean", "std"))
    if missing := [name for name in ("fit", "interpolation") if name not in preprocessing]:
        raise UserError(f"the checkpoint's preprocessing: {missing[0]} is missing, which says how images are resized")
    described = {name: preprocessing[name] for name in ("fit", "crop_share", "interpolation") if name in preprocessing}
    return ImageSettings({}, mean, std, origin, described)


def _from_config_file(path: Path) -> ImageSettings | None:
    """What a configuration in the file's folder says, whatever layout the weights have."""
    if (file := path.parent / "description.json").exists():          # of tools/export.py: exact, the next is not always
        own = read_json(file).get("preprocessing")
        if isinstance(own, dict) and {"fit", "mean", "std"} <= own.keys():
            return _from_checkpoint(own, f"{file.name} beside the file")
    if (file := path.parent / "preprocessor_config.json").exists():
        found = read_json(file)
        if "image_mean" in found or found.get("do_normalize") is False:
            return _from_processor(found, file)
    if (file := path.parent / "config.json").exists():
        found = read_json(file)
        found = found["pretrained_cfg"] if isinstance(found.get("pretrained_cfg"), dict) else found
        if "mean" in found and "std" in found:
            return _from_timm(found, file)
    if (file := path.parent / OPEN_CLIP).exists():
        inside = read_json(file).get("preprocess_cfg")
        if isinstance(inside, dict) and "mean" in inside and "std" in inside:
            mode = str(inside.get("resize_mode", "shortest"))
            return _from_timm({"crop_pct": 1.0, "crop_mode": "center" if mode == "shortest" else mode} | inside, file)
    return None


def _from_processor(found: dict, file: Path) -> ImageSettings:
    """Hugging Face's image processor."""
    mean, std = ([0.0], [1.0]) if found.get("do_normalize") is False else (
        _values(found, key, name, str(file)) for key, name in (("image_mean", "mean"), ("image_std", "std")))
    factor = 1.0 if found.get("do_rescale") is False else found.get("rescale_factor")
    factor = 1 / 255 if factor is None else factor
    if type(factor) not in (int, float) or not 0 < factor <= MAX_VALUE:
        raise UserError(f"{file}: rescale_factor is {str(factor)[:40]}, not a number above 0")
    white = round(255 * factor, 6)                             # what is made of pixels of 255, which are 1 here
    mean, std = ([value / white for value in values] for values in (mean, std))
    resample = found.get("resample", 2)
    if type(resample) is not int or resample not in PIL:
        raise UserError(f"{file}: resample is {str(resample)[:40]}: images are resized by 2 (bilinear) or 3 (bicubic)")
    crop, size = (_side(found, key, file) for key in ("crop_size", "size"))
    cropped = found.get("do_center_crop") is True
    shortest = isinstance(found.get("size"), dict) and "shortest_edge" in found["size"]
    share = min(crop / size, 1.0) if cropped and crop and size else 1.0
    if share < MIN_SHARE:
        raise UserError(f"{file}: crop_size {crop} is {share:.2g} of size {size}, less than {MIN_SHARE}")
    frame = {"mode": "crop" if cropped or shortest else "stretch", "share": share, "interpolation": PIL[resample]}
    return ImageSettings(frame, mean, std, f"{file.name} beside the file",
                         size=pair(found.get("crop_size" if cropped else "size")))


def _from_timm(found: dict, file: Path) -> ImageSettings:
    """timm's configuration of pretrained weights."""
    mean, std = (_values(found, name, name, str(file)) for name in ("mean", "std"))
    assumed: dict = {"crop_pct": 224 / 256, "interpolation": "bicubic", "crop_mode": "center"}    # timm/data/config.py
    given = assumed | {key: found[key] for key in assumed if found.get(key) is not None}
    share, interpolation, crop = given["crop_pct"], given["interpolation"], given["crop_mode"]
    if type(share) not in (int, float) or not MIN_SHARE <= share <= 1:
        raise UserError(f"{file}: crop_pct is {str(share)[:40]}, not a share from {MIN_SHARE} to 1")
    if interpolation not in PIL.values():
        raise UserError(f"{file}: interpolation is {str(interpolation)[:40]}: images are resized bilinear or bicubic")
    if crop != "center" and not (crop == "squash" and share == 1):
        raise UserError(f"{file}: crop_mode is {str(crop)[:40]!r}, with crop_pct {share:g}: only center, and squash "
                        "with crop_pct 1, are supported")
    return ImageSettings({"mode": "stretch" if crop == "squash" else "crop", "share": float(share),
                          "interpolation": interpolation}, mean, std, f"{file.name} beside the file",
                         size=pair(found.get("input_size")), whole_pixels=True)


def _side(found: dict, key: str, file: Path) -> int | None:
    """One length out of Hugging Face's ways to write a size."""
    value = found.get(key)
    if isinstance(value, dict):
        value = value.get("shortest_edge", value.get("height"))
    if value is not None and (type(value) is not int or not 0 < value < 2**16):
        raise UserError(f"{file}: {key} is {str(found[key])[:60]}, no size in pixels")
    return value


def _values(found: dict, key: str, name: str, where: str) -> list[float]:
    """One number, or one per channel; UserError, naming the key, for anything else."""
    values = found.get(key)
    values = [values] if type(values) in (int, float) else values
    if not isinstance(values, (list, tuple)) or len(values) not in (1, 3) or any(
            type(value) not in (int, float) or not abs(value) <= MAX_VALUE for value in values):
        raise UserError(f"{where}: {key} is {str(values)[:60]}, not one or three finite numbers up to {MAX_VALUE:g}")
    if name == "std" and min(values) <= 0:
        raise UserError(f"{where}: {key} is {str(values)[:60]}: a standard deviation is above 0")
    return [float(value) for value in values]
