"""Sources of pretrained weights, their preprocessing, and loading them into a TransferModel."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights

from functions.runtime.errors import UserError
from models.config import VARIANTS
from models.pretrained.key_maps import Converted, real_numbers
from models.pretrained.load import adapt, convert_file, library_names
from models.pretrained.prefixes import other_heads, without_prefix
from models.pretrained.preprocessing import (
    ImageSettings,
    default_preset,
    find_image_settings,
    for_channels,
    from_preset,
    torchvision_weights,
)
from models.pretrained.weight_files import file_hash, read_weights
from models.transfer import RESNETS, TransferConfig, TransferModel


@dataclass(frozen=True)
class Pretrained:
    """Weights ready for a model: configuration, source, SHA-256, preprocessing, notes."""

    config: TransferConfig               # num_classes is not known yet
    weights: dict[str, Tensor] | None    # of the backbone; None: random
    source: str                          # description
    sha256: str | None
    images: ImageSettings                # preprocessing
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> dict:
        """Mode, share and interpolation of the resizing; empty where our own checkpoint describes it."""
        return self.images.frame

    @property
    def description(self) -> dict | None:
        """The resizing as our own checkpoint describes it, for images of this size; None for other files."""
        described = self.images.described
        return described and described | {"image_size": list(self.config.image_size)}

    @property
    def mean(self) -> list[float]:
        """One value per channel."""
        return self.images.mean

    @property
    def std(self) -> list[float]:
        """One value per channel."""
        return self.images.std


def find_pretrained(model: str, source: str | Path, backbone: str, image_size: tuple[int, int] | None,
                    in_channels: int, mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
                    drop_path: float = 0.0) -> Pretrained:
    """The weights that `source` names: "random", "DEFAULT" or another of torchvision's names, or a file.

    `mean` and `std`, one value or one per channel, replace those of the weights; `drop_path` is the model's rate of
    stochastic depth. UserError, one line, for a name unknown to torchvision, a failed download, and a file that is
    damaged, of another type, or of another network.
    """
    config = TransferConfig(model, backbone, in_channels=in_channels, drop_path=drop_path,     # before any download
                            image_size=image_size or (VARIANTS[model].image_size if model in VARIANTS else (224, 224)))
    if source == "random":
        default = default_preset(model)
        size = image_size or tuple(default.transforms().crop_size * 2)[:2]
        assumed = for_channels(from_preset(default, "as torchvision's; the weights are random"), in_channels, mean, std)
        return Pretrained(replace(config, image_size=size), None, "random", None, assumed, (assumed.summary(size),))
    source = Path(source) if Path(source).is_file() else source           # a file whose name looks like torchvision's
    named = _named(model, source) if isinstance(source, str) else None
    path = _download(named) if named else Path(source)
    file, digest = read_weights(path), file_hash(path)
    known = named or next((w for w in torchvision_weights(model) if Path(w.url).name == path.name
                           or digest.startswith(Path(w.url).stem.rsplit("-", 1)[1])), None)
    words = f"{known or path.name}, SHA-256 {digest[:12]}…"
    try:
        if model in RESNETS:
            kind, default = "torchvision", known or default_preset(model)
            native = tuple(default.transforms().crop_size * 2)[:2]
            config = replace(config, image_size=image_size or native)
            weights, notes = resnet_weights(file.tensors, config)
        else:
            converted = convert_file(path, file)
            kind, native = converted.source, _native_size(converted)
            config = replace(config, image_size=image_size or native, norm_eps=converted.norm_eps, gelu=converted.gelu)
            weights, _, notes = adapt(converted, config.vit(), keep_head=False)
            weights = library_names("torchvision", weights) if backbone == "torchvision" else weights
        where = " ".join((file.where, *file.notes, *notes))
        images = find_image_settings(model, kind, path, digest, where, known, native, file.preprocessing)
        if images is None and mean and std:
            images = ImageSettings({"mode": "fit", "share": 1.0, "interpolation": "bilinear"}, [], [], "fitted whole")
        if images is None:
            raise UserError(f"a {kind} file, which does not say how its images were prepared: specify --mean and --std")
    except UserError as error:
        ours = "; runs of this project need an architecture that --model names" if file.config else ""
        raise UserError(f"{path} for --model {model}: {error}{ours}") from None
    images = for_channels(images, in_channels, mean, std)
    return Pretrained(config, weights, words, digest, images, (*file.notes, *notes, images.summary(config.image_size)))


def load_transfer(pretrained: Pretrained, num_classes: int) -> TransferModel:
    """The network with its weights and a head of zeros; strict: missing and unexpected keys are errors."""
    config = replace(pretrained.config, num_classes=num_classes)
    if pretrained.weights is None:
        return TransferModel(config)
    with torch.device("meta"):           # nothing is drawn that would be overwritten
        model = TransferModel(config)
    head = {"head.weight": torch.zeros(model.head.weight.shape), "head.bias": torch.zeros(num_classes)}
    model.load_state_dict({f"backbone.{name}": t.clone() for name, t in pretrained.weights.items()} | head, assign=True)
    return model


def _named(model: str, name: str) -> WeightsEnum:
    if not torchvision_weights(model):
        raise UserError(f"torchvision has no weights of {model}: give a file, --weights FILE, or use --weights random "
                        "for random initialisation")
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
                            f"weights, --weights FILE, or use --weights random for random initialisation") from None
    return file


def _native_size(converted: Converted) -> tuple[int, int]:
    """The image size (height, width) of the positions' grid: the file's own, else a square one."""
    side = converted.weights["patch_embedding.project.weight"].shape[-1]
    count = converted.weights["patch_embedding.positions"].shape[1] - 1
    rows, columns = converted.grid or (round(count**0.5),) * 2
    return rows * side, columns * side


def resnet_weights(tensors: dict[str, Tensor], config: TransferConfig) -> tuple[dict, tuple[str, ...]]:
    """torchvision's ResNet weights but for their head, all others used; the RGB kernel summed for gray images."""
    tensors, notes = without_prefix({name: real_numbers(name, value) for name, value in tensors.items()}, "bn1.weight")
    with torch.device("meta"):
        model = TransferModel(config)
    expected = model.backbone.state_dict()
    others = {name: tensor for name, tensor in tensors.items() if name not in expected}
    heads = other_heads(others, model.head.in_features, {name.split(".")[0] for name in expected})
    weights = {name: tensor for name, tensor in tensors.items() if name in expected or heads is None}
    notes += [f"the weights' own head, {name} of {classes} classes, is left out" for name, classes, _ in heads or ()]
    if config.in_channels == 1 and "conv1.weight" in weights and weights["conv1.weight"].shape[1:2] == (3,):
        weights["conv1.weight"] = weights["conv1.weight"].sum(dim=1, keepdim=True)
        notes.append("the RGB kernel is summed to one channel")
    for name in sorted(expected.keys() ^ weights.keys()):
        raise UserError(f"not a {config.model}: tensor {name} is {'missing' if name in expected else 'unexpected'}")
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise UserError(f"{name} is {tuple(tensor.shape)}, a {config.model} has {tuple(expected[name].shape)}")
        if tensor.dtype != expected[name].dtype:
            raise UserError(f"{name} holds {tensor.dtype}, a {config.model} has {expected[name].dtype}")
    return weights, tuple(notes)
