"""Where pretrained weights come from, what they expect of an image, and how they get into a TransferModel."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights

from functions.errors import UserError
from models.config import VARIANTS
from models.layouts import Converted, convert
from models.pretrained import adapt, torchvision_names
from models.transfer import RESNETS, TransferConfig, TransferModel
from models.weight_files import file_hash, read_weights

# What the sources did to an image before it met their weights: frame, share kept, interpolation, mean and std.
# timm: vision_transformer.py, `_cfg`; Hugging Face: ViTImageProcessor; JAX: vit_jax/input_pipeline.py.
OTHERS = {
    "timm": ("crop", 0.9, "bicubic", 0.5, 0.5),
    "huggingface": ("stretch", 1.0, "bilinear", 0.5, 0.5),
    "jax": ("stretch", 1.0, "bilinear", 0.5, 0.5),
}


@dataclass(frozen=True)
class Pretrained:
    """Weights ready for a model, and what must be known of them: file, SHA-256, how they want images, sentences."""

    config: TransferConfig               # num_classes is not known yet
    weights: dict[str, Tensor] | None    # of the backbone; None: random
    source: str                          # in words
    sha256: str | None
    frame: dict                          # mode, share, interpolation: what an image goes through
    mean: list[float]
    std: list[float]
    notes: tuple[str, ...] = ()


def find_pretrained(model: str, source: str | Path, backbone: str, image_size: tuple[int, int] | None,
                    in_channels: int) -> Pretrained:
    """The weights that `source` names: "random", "DEFAULT" or another name of torchvision's, or a file.

    ValueError, one line, for a name that torchvision lacks, a download that fails, and a file that is damaged, not what
    its name says, or of another network.
    """
    config = TransferConfig(model, backbone, in_channels=in_channels,     # a first check, before any download
                            image_size=image_size or (VARIANTS[model].image_size if model in VARIANTS else (224, 224)))
    if source == "random":
        preset = get_model_weights(model).DEFAULT.transforms()
        size = image_size or tuple(preset.crop_size * 2)[:2]
        return Pretrained(replace(config, image_size=size), None, "random", None, *_of_preset(preset, in_channels))
    named = _named(model, source) if isinstance(source, str) else None
    path = _download(named) if named else Path(source)
    file = read_weights(path)
    known = named or next((w for w in get_model_weights(model) if Path(w.url).name == path.name), None)
    words = f"{known or path.name}, SHA-256 {(digest := file_hash(path))[:12]}…"
    if model in RESNETS:
        preset = (known or get_model_weights(model).DEFAULT).transforms()
        config = replace(config, image_size=image_size or tuple(preset.crop_size * 2)[:2])
        weights, notes = _resnet_weights(file.tensors, config, path)
        return Pretrained(config, weights, words, digest, *_of_preset(preset, in_channels), notes)
    try:
        converted = convert(file.tensors, file.config)
        native = _native_size(converted, model)
        config = replace(config, image_size=image_size or native, norm_eps=converted.norm_eps, gelu=converted.gelu)
        weights, _, notes = adapt(converted, config.vit(), keep_head=False)
    except UserError as error:
        raise UserError(f"{path} for --model {model}: {error}") from None
    if backbone == "torchvision":
        weights = torchvision_names(weights)
    return Pretrained(config, weights, words, digest,
                      *_preprocessing(model, converted.source, known, native, in_channels, path), notes)


def load_transfer(pretrained: Pretrained, num_classes: int) -> TransferModel:
    """The network with its weights and a new head of zeros; strictly: every tensor given, none left over."""
    config = replace(pretrained.config, num_classes=num_classes)
    if pretrained.weights is None:
        return TransferModel(config)
    with torch.device("meta"):           # nothing is drawn that would be overwritten
        model = TransferModel(config)
    head = {"head.weight": torch.zeros(model.head.weight.shape), "head.bias": torch.zeros(num_classes)}
    model.load_state_dict({f"backbone.{name}": t.clone() for name, t in pretrained.weights.items()} | head, assign=True)
    return model


def _named(model: str, name: str) -> WeightsEnum:
    known = get_model_weights(model)
    if name not in (*known.__members__, "DEFAULT"):
        raise UserError(f'torchvision has no weights "{name}" for {model}; it has {", ".join(known.__members__)}')
    return known[name] if name != "DEFAULT" else known.DEFAULT


def _download(weights: WeightsEnum) -> Path:
    """The file in torch's own cache; if it is not there, downloaded with a progress bar and checked by its hash."""
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(weights.url, str(file), hash_prefix=file.stem.rsplit("-", 1)[1],
                                           progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot download {file.name} ({' '.join(str(error).split())}): get {weights.url} on a "
                            f"machine with internet and pass the file, --weights PATH/{file.name}, or another file of "
                            f"weights, --weights FILE; --weights random begins without any") from None
    return file


def _of_preset(preset, in_channels: int) -> tuple[dict, list[float], list[float]]:
    """(frame, mean, std) of torchvision's preset; gray images get the mean over its three channels."""
    frame = {"mode": "crop", "share": preset.crop_size[0] / preset.resize_size[0],
             "interpolation": preset.interpolation.value}
    return frame, *(_each(values, in_channels) for values in (preset.mean, preset.std))


def _each(values: list[float], in_channels: int) -> list[float]:
    return list(values) if in_channels == 3 else [sum(values) / len(values)]


def _preprocessing(model: str, source: str, known: WeightsEnum | None, native: tuple[int, int], in_channels: int,
                   path: Path) -> tuple[dict, list[float], list[float]]:
    if source in OTHERS:
        mode, share, interpolation, mean, std = OTHERS[source]
        frame = {"mode": mode, "share": share, "interpolation": interpolation}
        return frame, [mean] * in_channels, [std] * in_channels
    if source != "torchvision":
        raise UserError(f"{path} is a {source} file, which does not say how its images were prepared: for fine-tuning "
                        "give weights of torchvision, timm, Hugging Face or the authors")
    sizes = {tuple(w.transforms().crop_size * 2)[:2]: w for w in reversed(get_model_weights(model))}
    return _of_preset((known or sizes.get(native) or get_model_weights(model).DEFAULT).transforms(), in_channels)


def _native_size(converted: Converted, model: str) -> tuple[int, int]:
    """The image size (height, width) whose square grid of patches the positions have."""
    side = round((converted.weights["patch_embedding.positions"].shape[1] - 1) ** 0.5) * VARIANTS[model].patch_size
    return side, side


def _resnet_weights(tensors: dict[str, Tensor], config: TransferConfig, path: Path) -> tuple[dict, tuple[str, ...]]:
    """torchvision's ResNet weights but for their head, all others used; the RGB kernel summed for gray images."""
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    notes = ("the weights' own head is left out",) if len(weights) < len(tensors) else ()
    with torch.device("meta"):
        expected = TransferModel(config).backbone.state_dict()
    if config.in_channels == 1 and "conv1.weight" in weights and weights["conv1.weight"].shape[1] == 3:
        weights["conv1.weight"] = weights["conv1.weight"].sum(dim=1, keepdim=True)
        notes += ("the RGB kernel is summed to one channel",)
    for name in (*(expected.keys() - weights.keys()), *(weights.keys() - expected.keys())):
        raise UserError(f"{path} is not a {config.model}: tensor {name} is "
                        + ("missing" if name in expected else "none of it"))
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise UserError(f"{path}: {name} is {tuple(tensor.shape)}, a {config.model} has "
                            f"{tuple(expected[name].shape)}")
    return weights, notes
