"""The paper's hybrids: patches are taken from a ResNet's feature map instead of the image (§3.1)."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from functions.runtime.errors import UserError
from models.config import VARIANTS, ViTConfig
from models.pretrained.jax_keys import without_prefix
from models.pretrained.key_maps import convert, real_numbers, recognise
from models.pretrained.load import infer_grid, set_eps_and_gelu
from models.pretrained.position_embeddings import resize_positions
from models.pretrained.weight_files import read_weights
from models.vit import ViT


class Hybrid(NamedTuple):
    """Units per stage of the stem, the patch size on its feature map, pixels per token, and the ViT that follows."""

    units: tuple[int, ...]
    patch: int
    stride: int
    vit: str


HYBRIDS = {      # vit_jax/configs/models.py; R50's fourth stage is folded into its third, to keep 16 pixels a token
    "r50_vit_b_16": Hybrid((3, 4, 9), 1, 16, "vit_b_16"),
    "r26_vit_b_32": Hybrid((2, 2, 2, 2), 1, 32, "vit_b_32"),
    "r_vit_ti_16": Hybrid((), 8, 32, "vit_ti_16"),
}


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pads (…, H, W) so that ⌈H/stride⌉ windows fit, as JAX's SAME: an odd pixel is added below and on the right."""
    totals = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return F.pad(x, (left, right, top, bottom), value=value)


def lecun_normal_(weight: Tensor) -> None:
    """N(0, 1/fan_in), truncated at ±2σ and rescaled to keep its variance: Flax's default for convolutions."""
    std = weight[0].numel() ** -0.5 / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class StdConv2d(nn.Conv2d):
    """Convolution with standardised kernels, (W - mean) / (std + 1e-5) for each output channel, SAME padding, no bias.

    Source: vit_jax/models_resnet.py; timm's StdConv2dSame divides by √(var + 1e-8) instead.
    """

    def __init__(self, channels: int, features: int, kernel: int, stride: int = 1):
        super().__init__(channels, features, kernel, stride, bias=False)
        lecun_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        std, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / (std + 1e-5)
        return F.conv2d(pad_same(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)


def group_norm(channels: int) -> nn.GroupNorm:
    """Flax's defaults: 32 groups, epsilon 1e-6."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResidualUnit(nn.Module):
    """relu(gn3(conv3(relu(gn2(conv2(relu(gn1(conv1(x)))))))) + x): (B, C, H, W) → (B, 4F, H/s, W/s).

    x is projected where its shape changes. The last norm is initialised to zero, so that the unit starts as its
    shortcut.
    """

    def __init__(self, channels: int, features: int, stride: int):
        super().__init__()
        if stride != 1 or channels != 4 * features:
            self.conv_proj, self.gn_proj = StdConv2d(channels, 4 * features, 1, stride), group_norm(4 * features)
        self.conv1, self.gn1 = StdConv2d(channels, features, 1), group_norm(features)
        self.conv2, self.gn2 = StdConv2d(features, features, 3, stride), group_norm(features)
        self.conv3, self.gn3 = StdConv2d(features, 4 * features, 1), group_norm(4 * features)
        nn.init.zeros_(self.gn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.gn_proj(self.conv_proj(x)) if hasattr(self, "conv_proj") else x
        x = F.relu(self.gn1(self.conv1(x)))
        x = F.relu(self.gn2(self.conv2(x)))
        return F.relu(self.gn3(self.conv3(x)) + shortcut)


class ResNetStem(nn.Module):
    """Images (B, C, H, W) → (B, 64, H/4, W/4) without stages, (B, 128·2^S, H/2^(S+1), W/2^(S+1)) after S stages."""

    def __init__(self, units: tuple[int, ...], in_channels: int, width: int = 64):
        super().__init__()
        self.conv_root, self.gn_root = StdConv2d(in_channels, width, 7, 2), group_norm(width)
        self.channels, stages = width, OrderedDict()
        for stage, count in enumerate(units):
            features, made = width * 2**stage, OrderedDict()
            for unit in range(count):
                stride = 2 if stage and unit == 0 else 1
                made[f"unit{unit + 1}"] = ResidualUnit(self.channels, features, stride)
                self.channels = 4 * features
            stages[f"block{stage + 1}"] = nn.Sequential(made)
        self.stages = nn.Sequential(stages)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.gn_root(self.conv_root(images)))
        x = F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)
        return self.stages(x)


class HybridViT(ViT):
    """The ViT whose Eq. 1 projects patches of a ResNet's feature map: images (B, C, H, W) → logits (B, K).

    `config.patch_size` is the number of pixels per token (ValueError otherwise); the rest, parameter names included, is
    the ViT.
    """

    def __init__(self, config: ViTConfig, units: tuple[int, ...], patch: int, width: int = 64):
        stride = patch * 2 ** max(len(units) + 1, 2)                     # the root's 4, and 2 a stage after the first
        if config.patch_size != stride:
            raise UserError(f"patch_size is {config.patch_size}: a token of this hybrid stands for {stride} pixels")
        super().__init__(config)
        stem = ResNetStem(units, config.in_channels, width)
        patches = nn.Conv2d(stem.channels, config.embedding_dim, patch, patch)
        lecun_normal_(patches.weight)
        nn.init.zeros_(patches.bias)
        self.patch_embedding.project = nn.Sequential(OrderedDict(stem=stem, patches=patches))


def build_hybrid(name: str, **overrides) -> HybridViT:
    """The hybrid called `name` in HYBRIDS with fields of its ViTConfig overridden; ValueError for unknown names."""
    if name not in HYBRIDS:
        raise UserError(f'unknown hybrid "{name}"; known: {", ".join(HYBRIDS)}')
    if unknown := sorted(set(overrides) - set(ViTConfig.__dataclass_fields__)):
        raise UserError(f"ViTConfig has no field {', '.join(unknown)}")
    units, patch, stride, vit = HYBRIDS[name]
    return HybridViT(replace(VARIANTS[vit], **{"patch_size": stride} | overrides), units, patch)


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
        raise UserError(f"their {config.num_classes} classes stand on a hidden layer that this ViT has not: build the "
                        "model with the classes you want to fine-tune it for")
    weights = {re.sub(r"(?<=embedding\.project\.)", "patches.", name): t for name, t in converted.weights.items()}
    weights |= {f"patch_embedding.project.stem.{name}": tensor for name, tensor in stem.items()}
    positions, notes = weights["patch_embedding.positions"], [*notes, *converted.notes]
    grid = infer_grid(positions.shape[1] - 1, config.grid)
    weights["patch_embedding.positions"] = resize_positions(positions, grid, config.grid, "jax")
    if grid != config.grid:
        notes.append(f"positions interpolated from a grid of {grid[0]}x{grid[1]} to {config.grid[0]}x{config.grid[1]}")
    head = weights.get("classifier.weight", ())
    if len(head) != config.num_classes:
        weights |= {name: own[name] for name in ("classifier.weight", "classifier.bias")}
        if len(head):
            notes.append(f"the head of {len(head)} classes is left out, the model has {config.num_classes}")
    for name in sorted(own.keys() ^ weights.keys()):
        raise UserError(f"these weights are of another hybrid: {name} is {'missing' if name in own else 'left over'}")
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
