"""Loads the authors' weights of a hybrid."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from functions.runtime.errors import UserError
from models.hybrid import HybridViT
from models.pretrained.jax_keys import without_prefix
from models.pretrained.key_maps import convert, real_numbers, recognise
from models.pretrained.load import set_eps_and_gelu
from models.pretrained.position_embeddings import resize_positions, with_class_row
from models.pretrained.weight_files import read_weights


def load_hybrid(model: HybridViT, path_or_arrays: str | Path | Mapping[str, Tensor]) -> HybridViT:
    """Loads the weights of the authors' .npz file of a hybrid into `model`, as strictly as `load_pretrained`.

    Positions of another grid are interpolated, and a head with another number of classes is left out; each gives a
    UserWarning. Raises UserError, one line, and leaves the model unchanged, for a tensor that is missing, unexpected or
    of another shape, and for another number of heads.
    """
    given, config, own = path_or_arrays, model.config, model.state_dict()
    arrays = dict(given) if isinstance(given, Mapping) else read_weights(given).tensors
    if (source := recognise(arrays)) != "jax":
        raise UserError(f"{source} weights: a hybrid takes the arrays of the authors' .npz files only")
    named, notes = without_prefix({name: real_numbers(name, array) for name, array in arrays.items()})
    stem, rest = stem_from_jax(named)
    converted = convert(rest)
    if converted.left_out_classes == config.num_classes:
        raise UserError(f"the source head of {config.num_classes} classes has a hidden layer, which this ViT does not "
                        "support: build the model with the classes you want to fine-tune it for")
    weights = {re.sub(r"(?<=embedding\.project\.)", "patches.", name): t for name, t in converted.weights.items()}
    weights |= {f"patch_embedding.project.stem.{name}": tensor for name, tensor in stem.items()}
    positions, notes = weights["patch_embedding.positions"], [*notes, *converted.notes]
    positions, grid = with_class_row(positions, None, config.grid)
    weights["patch_embedding.positions"] = resize_positions(positions, grid, config.grid, "jax")
    if grid != config.grid:
        notes.append(f"positions interpolated from a grid of {grid[0]}x{grid[1]} to {config.grid[0]}x{config.grid[1]}")
    head = weights.get("classifier.weight", ())
    if len(head) != config.num_classes:
        weights |= {name: own[name] for name in ("classifier.weight", "classifier.bias")}
        if len(head):
            notes.append(f"the head of {len(head)} classes is left out, the model has {config.num_classes}")
    for name in sorted(own.keys() ^ weights.keys()):
        raise UserError(f"these weights are of another hybrid: {name} is {'missing' if name in own else 'unexpected'}")
    shapes = {name: (tuple(weights[name].shape), tuple(own[name].shape)) for name in own}
    for what, (theirs, ours) in (shapes | {"heads": (converted.num_heads, config.num_heads)}).items():
        if theirs != ours:
            raise UserError(f"these weights are of another hybrid: {what} is {theirs}, the model's {ours}")
    model.load_state_dict(weights)
    set_eps_and_gelu(model, converted.norm_eps, converted.gelu)
    model.config = model.patch_embedding.config = replace(config, norm_eps=converted.norm_eps, gelu=converted.gelu)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return model


def stem_from_jax(arrays: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(tensors of ResNetStem, all other arrays): kernels (H, W, in, out) → (out, in, H, W), norms (1, 1, 1, C) → C."""
    stem, rest = {}, {}
    for name, array in arrays.items():
        if found := re.fullmatch(r"(block\d+/unit\d+/)?(conv\w+/kernel|gn\w+/(scale|bias))", name):
            ours = re.sub("/(kernel|scale)$", "/weight", "stages/" * bool(found[1]) + name).replace("/", ".")
            kernel = found[3] is None and array.ndim == 4
            stem[ours] = array.permute(3, 2, 0, 1).contiguous() if kernel else array.squeeze()
        else:
            rest[name] = array
    return stem, rest
