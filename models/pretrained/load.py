"""Loads pretrained weights into the hand-written ViT, and exports them to torchvision and Hugging Face."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from functions.runtime.errors import UserError
from models.config import VARIANTS, ViTConfig
from models.hybrid import HybridViT
from models.pretrained.config_files import settings_beside
from models.pretrained.key_maps import BLOCK, OURS, PRE_NORM, TOP, Converted, convert, recognise
from models.pretrained.places.folders import read_files, weights_in
from models.pretrained.position_embeddings import resize_positions, with_class_row
from models.pretrained.weight_files import Weights
from models.vit import ViT

# The names in files on Hugging Face's hub, read by transformers 4 and 5; version 5 has those of key_maps.py in memory.
ON_HUB = {"layers.": "encoder.layer.", ".attention.o_proj.": ".attention.output.dense.",
          ".mlp.fc1.": ".intermediate.dense.", ".mlp.fc2.": ".output.dense."}


def load_pretrained(model: ViT, path_or_state_dict: str | Path | Mapping[str, Tensor]) -> ViT:
    """Loads weights of torchvision, timm, Hugging Face, the authors, the replicated repository or this project into
    `model`.

    A file, or a folder of transformers, timm or open_clip. Strict: every tensor is used exactly once and must have the
    model's shape. LayerNorm's epsilon and the GELU variant become the source's, in the modules and in `model.config`; a
    configuration beside the file says them where there is one. A model of the class token takes no weights of a network
    that pools by the mean. Positions of another grid are interpolated, an RGB kernel is summed for gray images, and a
    head with another number of classes is left out; each gives a UserWarning. Raises UserError, one line, and leaves
    the model unchanged, if anything does not fit. A hybrid takes the authors' files only
    (models/pretrained/hybrid_weights.py).
    """
    given = path_or_state_dict
    if isinstance(model, HybridViT):
        from models.pretrained.hybrid_weights import load_hybrid  # which needs this module

        return load_hybrid(model, given)
    if isinstance(given, Mapping):
        return _load_converted(model, convert(dict(given)))
    path = weights_in(Path(given)) if Path(given).is_dir() else Path(given)
    file, _ = read_files(path)
    try:
        return _load_converted(model, convert_file(path, file), file.notes)
    except UserError as error:
        raise UserError(f"{given}: {error}") from None


def convert_file(path: str | Path, file: Weights) -> Converted:
    """The weights of a file under our names; a configuration beside it says epsilon, GELU and pooling, if there is one.
    """
    return convert(file.tensors, file.config or settings_beside(path, recognise(file.tensors)))


def _load_converted(model: ViT, converted: Converted, notes: tuple[str, ...] = ()) -> ViT:
    if converted.left_out_classes == model.config.num_classes:
        raise UserError(f"{converted.source} weights: the source head of {model.config.num_classes} classes has a "
                        "hidden layer, which this ViT does not support: build the model with the classes you want to "
                        "fine-tune it for")
    if model.config.pool == "cls" != converted.pool:
        raise UserError(f"{converted.source} weights are of a network that reads the mean over patches: build the "
                        f'model with pool="{converted.pool}"')
    weights, config, more = adapt(converted, model.config)
    own = model.state_dict()
    weights = {name: value for name, value in own.items() if name.startswith("classifier.")} | weights
    if unexpected := {name for name in own.keys() | weights.keys()
                   if name not in own or name not in weights or own[name].shape != weights[name].shape}:
        raise UserError(f"{converted.source} weights do not fit this model: {min(unexpected)}")  # before any is copied
    model.load_state_dict(weights)
    set_eps_and_gelu(model, config.norm_eps, config.gelu)
    model.config = model.patch_embedding.config = config
    for note in (*notes, *more):
        warnings.warn(note, UserWarning, stacklevel=3)
    return model


def adapt(converted: Converted, config: ViTConfig,
          keep_head: bool = True) -> tuple[dict[str, Tensor], ViTConfig, tuple[str, ...]]:
    """(weights for a ViT of this configuration, the configuration with the source's epsilon and GELU, notes).

    The head is left out without `keep_head`, or if its number of classes differs. UserError, with both numbers, for a
    network of another depth, width, patch size or number of heads.
    """
    weights, notes = dict(converted.weights), list(converted.notes)
    source = converted.source
    layers = len({name.split(".")[1] for name in weights if name.startswith("encoder.")})
    kernel = weights["patch_embedding.project.weight"]
    there = {"layers": layers, "width": kernel.shape[0], "pixels a patch": kernel.shape[-1],
             "MLP width": weights["encoder.0.mlp_block.mlp.0.weight"].shape[0] if layers else 0,
             "heads": converted.num_heads}
    for what, count in there.items():
        if count not in (None, sizes(config)[what]):
            fits = [name for name, known in VARIANTS.items()
                    if all(theirs in (None, sizes(known)[key]) for key, theirs in there.items())]
            raise UserError(f"{source} weights have {count} {what}, the model has {sizes(config)[what]}"
                            + f": they are of {fits[0] if fits else 'none of the sizes in VARIANTS'}")
    if (f"{PRE_NORM}weight" in weights) != config.pre_norm:
        raise UserError(f"{source} weights have {'no' if config.pre_norm else 'a'} LayerNorm of z_0: build the model "
                        f"with pre_norm={not config.pre_norm}")
    if kernel.shape[1] == 3 and config.in_channels == 1:
        weights["patch_embedding.project.weight"] = kernel.sum(dim=1, keepdim=True)
        notes.append("the RGB kernel is summed to one channel")
    elif kernel.shape[1] != config.in_channels:
        raise UserError(f"{source} weights are for images of {kernel.shape[1]} channel{'s' * (kernel.shape[1] > 1)}, "
                        f"the model for {config.in_channels}: build it with in_channels={kernel.shape[1]}")
    positions = weights["patch_embedding.positions"]
    same = source == "ours" and positions.shape[1] - 1 == config.num_patches
    positions, grid = with_class_row(positions, converted.grid or (config.grid if same else None), config.grid,
                                     alone=converted.family == "DeiT III")
    weights["patch_embedding.positions"] = positions
    if grid != config.grid:
        weights["patch_embedding.positions"] = resize_positions(positions, grid, config.grid, converted.resizing)
        notes.append(f"positions interpolated from a grid of {grid[0]}x{grid[1]} to {config.grid[0]}x{config.grid[1]}, "
                     f"as {converted.resizing} does")
    classes = len(weights["classifier.weight"]) if "classifier.weight" in weights else None
    if classes is not None and (not keep_head or classes != config.num_classes):
        del weights["classifier.weight"], weights["classifier.bias"]
        notes.append(f"the head of {classes} classes is left out" + (
            f", the model has {config.num_classes}" if keep_head else ""))
    return weights, replace(config, norm_eps=converted.norm_eps, gelu=converted.gelu), tuple(notes)


def sizes(config: ViTConfig) -> dict[str, int]:
    """What weights of one network share with a model for any images, by its name in messages."""
    return {"layers": config.num_layers, "width": config.embedding_dim, "pixels a patch": config.patch_size,
            "MLP width": config.mlp_size, "heads": config.num_heads}


def set_eps_and_gelu(model: nn.Module, norm_eps: float, gelu: str) -> None:
    """Sets the epsilon of every LayerNorm and the variant of every GELU ("none": erf, "tanh") in any network."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = norm_eps
        if isinstance(module, nn.GELU):
            module.approximate = gelu


def library_names(source: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names → those of another library's Vision Transformer (TOP and BLOCK in key_maps.py); the same tensors."""
    prefix, block = BLOCK[source]
    renamed = {}
    for name, tensor in weights.items():
        if name.startswith("encoder."):
            _, i, rest = name.split(".", 2)
            start, ours, theirs = prefix.format(i), OURS, block
        else:
            start, rest, ours, theirs = "", name, list(TOP[source]), list(TOP[source].values())
        place = next(k for k, known in enumerate(ours) if rest.startswith(known))
        renamed[start + theirs[place] + rest.removeprefix(ours[place])] = tensor
    return renamed


def to_torchvision(model: ViT) -> dict[str, Tensor]:
    """The state dict that torchvision's VisionTransformer of the same sizes loads strictly.

    UserError if the epsilon or GELU differs from torchvision's, which are fixed in its code, or images are not square:
    the logits would differ. UserError for a hybrid, of which torchvision has no equivalent.
    """
    if isinstance(model, HybridViT):
        raise UserError("torchvision has no equivalent of a hybrid: its VisionTransformer takes patches of the image")
    height, width = model.config.image_size
    if height != width:
        raise UserError(f"torchvision's ViT takes square images, this one {height}x{width}: its logits would differ")
    if (model.config.norm_eps, model.config.gelu) != (1e-6, "none"):
        raise UserError(f"torchvision's ViT has LayerNorm epsilon 1e-06 and the exact GELU, this one has "
                        f"{model.config.norm_eps} and {model.config.gelu}: its logits would differ")
    _check_plain(model, "torchvision")
    return library_names("torchvision", model.state_dict())


def to_huggingface(model: ViT) -> dict[str, Tensor]:
    """The tensors of a model.safetensors that transformers' ViTForImageClassification loads, by their names on its hub.

    W_q, W_k and W_v, one matrix (3D, D) here, are three (D, D) there. Images may be square or not, gray or RGB; its
    configuration is `huggingface_config` (config_files.py). UserError for a hybrid, of which its ViT has no equivalent.
    """
    if isinstance(model, HybridViT):
        raise UserError("Hugging Face's ViT has no equivalent of a hybrid: it takes patches of the image")
    _check_plain(model, "Hugging Face")
    renamed: dict[str, Tensor] = {}
    for name, tensor in library_names("huggingface", model.state_dict()).items():
        for in_memory, on_hub in ON_HUB.items():
            name = name.replace(in_memory, on_hub)
        name = name if name.startswith("classifier.") else f"vit.{name}"
        parts = [name.replace(".qkv.", f".attention.{part}.") for part in ("query", "key", "value")]
        renamed |= dict(zip(parts, tensor.chunk(3), strict=True)) if ".qkv." in name else {name: tensor}
    return renamed


def _check_plain(model: ViT, library: str) -> None:
    """UserError for a network that reads no class token or normalises z_0, which `library`'s ViT does not."""
    if model.config.pool != "cls" or model.config.pre_norm:
        what = "a LayerNorm of z_0, as CLIP has it" if model.config.pre_norm else "the mean over patches (--pool mean)"
        raise UserError(f"{library}'s ViT has no equivalent of {what}: its logits would differ")
