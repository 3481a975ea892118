"""Sources of pretrained weights, their preprocessing, and loading them into a TransferModel."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models import WeightsEnum, get_model_weights

from functions.runtime.errors import UserError
from models.config import VARIANTS
from models.pretrained.key_maps import PRE_NORM, Converted, real_numbers
from models.pretrained.load import adapt, convert_file, library_names
from models.pretrained.places.folders import read_files, weights_in
from models.pretrained.places.hub import download, on_hub
from models.pretrained.prefixes import other_heads, without_prefix
from models.pretrained.preprocessing import (
    ImageSettings,
    default_preset,
    find_image_settings,
    for_channels,
    from_preset,
    torchvision_weights,
    with_gray_kernel,
)
from models.pretrained.weight_files import Weights
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
                    drop_path: float = 0.0, pool: str | None = None) -> Pretrained:
    """The weights that `source` names: "random", "DEFAULT" or another of torchvision's names, a file, a folder of
    transformers, timm or open_clip, or one on the Hugging Face Hub (places/hub.py).

    `backbone` "auto" is torchvision's code for the sizes that it has weights of, else the hand-written ViT. `mean` and
    `std`, one value or one per channel, and `pool`, "cls" or "mean", replace those of the weights; `drop_path` is the
    model's rate of stochastic depth. UserError, one line, for a name unknown to torchvision, a failed download, and a
    file that is damaged, of another type, or of another network.
    """
    config = TransferConfig(model, _backbone(model, backbone, pool), in_channels=in_channels, drop_path=drop_path,
                            image_size=image_size or (VARIANTS[model].image_size if model in VARIANTS else (224, 224)),
                            pool=pool or "cls")                                             # before any download
    if source == "random":
        default = default_preset(model)
        size = image_size or tuple(default.transforms().crop_size * 2)[:2]
        assumed = for_channels(from_preset(default, "as torchvision's; the weights are random"), in_channels, mean, std)
        return Pretrained(replace(config, image_size=size), None, "random", None, assumed, (assumed.summary(size),))
    path, shown, known = _locate(model, source)
    file, digest = read_files(path)
    known = known or next((w for w in torchvision_weights(model) if Path(w.url).name == path.name
                           or digest.startswith(Path(w.url).stem.rsplit("-", 1)[1])), None)
    try:
        source_file = _File(path, file, digest, known)
        found = (_resnet(source_file, config, image_size) if model in RESNETS else
                 _vit(source_file, config, image_size, pool, backbone == "auto", mean, std))
        images = found.images
        if images is None and mean and std:
            images = ImageSettings({"mode": "fit", "share": 1.0, "interpolation": "bilinear"}, [], [], "fitted whole")
        if images is None:
            raise UserError(f"a {found.kind} file, which does not say how its images were prepared: specify --mean and "
                            "--std")
    except UserError as error:
        raise UserError(f"{path} for --model {model}: {error}") from None
    images = for_channels(images.at(found.config.image_size), in_channels, mean, std)
    return Pretrained(found.config, found.weights, f"{known or shown}, SHA-256 {digest[:12]}…", digest, images,
                      (*file.notes, *found.notes, images.summary(found.config.image_size)))


class _File(NamedTuple):
    """A file of weights, or the index of several, that was read."""

    path: Path
    content: Weights
    digest: str
    known: WeightsEnum | None            # the weights of torchvision that it holds


class _Found(NamedTuple):
    """What a file of weights holds for one configuration."""

    kind: str                            # the library of its names
    config: TransferConfig
    weights: dict[str, Tensor]
    images: ImageSettings | None
    notes: tuple[str, ...]


def _backbone(model: str, backbone: str, pool: str | None) -> str:
    """torchvision's code, if it has weights of this size and nothing else is asked for, where `backbone` is "auto"."""
    if backbone != "auto":
        return backbone
    return "torchvision" if model not in VARIANTS or (torchvision_weights(model) and pool in (None, "cls")) else "ours"


def _locate(model: str, source: str | Path) -> tuple[Path, str, WeightsEnum | None]:
    """(the file of weights or its index, its name for messages, torchvision's weights if it was named by their name).
    """
    if on_hub(source):
        return weights_in(download(str(source))), str(source), None
    if isinstance(source, str) and not Path(source).exists():          # a file's name can look like torchvision's
        known = _named(model, source)
        return _download(known), "", known
    path = Path(source)
    return (weights_in(path), path.resolve().name, None) if path.is_dir() else (path, path.name, None)


def _vit(file: _File, config: TransferConfig, image_size: tuple[int, int] | None, pool: str | None, automatic: bool,
         mean: Sequence[float] | None, std: Sequence[float] | None) -> _Found:
    """A Vision Transformer's weights, in the form of its source; `pool`, `mean` and `std` replace the source's."""
    converted = convert_file(file.path, file.content)
    native, patch = _native_size(converted), config.vit().patch_size
    where = " ".join((file.content.where, *file.content.notes, *converted.notes))
    images = find_image_settings(config.model, converted.source, file.path, file.digest, where, file.known, native,
                                 file.content.preprocessing, converted.family)
    size = image_size or _multiple(images.size if images else None, patch) or native
    pool = converted.pool if pool is None or (pool, converted.pool) == ("mean", "mean_then_norm") else pool
    pre_norm = f"{PRE_NORM}weight" in converted.weights
    if automatic and (pool != "cls" or pre_norm or converted.gelu == "quick"):
        config = replace(config, backbone="ours")
    config = replace(config, image_size=size, norm_eps=converted.norm_eps, gelu=converted.gelu, pool=pool,
                     pre_norm=pre_norm)
    mean, std = mean or (images.mean if images else None), std or (images.std if images else None)
    if config.in_channels == 1 and mean and std:
        converted = replace(converted, weights=with_gray_kernel(converted.weights, mean, std))
    weights, _, notes = adapt(converted, config.vit(), keep_head=False)
    weights = library_names("torchvision", weights) if config.backbone == "torchvision" else weights
    return _Found(converted.source, config, weights, images, (*notes, _form(converted, config)))


def _multiple(size: tuple[int, int] | None, patch: int) -> tuple[int, int] | None:
    """The largest multiples of the patch size that are not larger than `size`; None if there are none."""
    height, width = (side // patch * patch for side in size or (0, 0))
    return (height, width) if height and width else None


def _form(converted: Converted, config: TransferConfig) -> str:
    """One line: family, epsilon, GELU and pooling."""
    pools = {"cls": "the class token", "mean": "the mean over patches, after the last LayerNorm",
             "mean_then_norm": "the mean over patches, before the last LayerNorm"}
    gelus = {"none": "exact", "tanh": "tanh", "quick": "quick"}
    other = "" if config.pool == converted.pool else f" (the source: {pools[converted.pool]})"
    return (f"{converted.family or 'a ViT'} with the names of {converted.layout}: LayerNorm epsilon "
            f"{config.norm_eps:g}, {gelus[config.gelu]} GELU, features: {pools[config.pool]}{other}")


def _resnet(file: _File, config: TransferConfig, image_size: tuple[int, int] | None) -> _Found:
    """A ResNet's weights."""
    default = file.known or default_preset(config.model)
    native = tuple(default.transforms().crop_size * 2)[:2]
    config = replace(config, image_size=image_size or native)
    weights, notes = resnet_weights(file.content.tensors, config)
    images = find_image_settings(config.model, "torchvision", file.path, file.digest,
                                 " ".join((file.content.where, *file.content.notes, *notes)), file.known, native,
                                 file.content.preprocessing)
    return _Found("torchvision", config, weights, images, notes)


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
    if any(name.endswith("embedder.convolution.weight") for name in tensors):
        raise UserError("a ResNet in Hugging Face's layout, which is not read: give torchvision's file of this network")
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
