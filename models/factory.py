"""Networks by name and by configuration: the Vision Transformers of VARIANTS and the hybrids of HYBRIDS."""

import difflib
from dataclasses import fields, replace
from typing import Any

import torch

from functions.runtime.errors import UserError
from models.config import HYBRIDS, VARIANTS, HybridConfig, ViTConfig
from models.hybrid import HybridViT
from models.pooling import MeanPoolViT
from models.vit import ViT


def configure(name: str, **overrides: Any) -> ViTConfig:
    """The configuration of `name` in VARIANTS or HYBRIDS, with some fields overridden; UserError for unknown names."""
    configs = VARIANTS | HYBRIDS
    if name not in configs:
        close = difflib.get_close_matches(name.lower(), configs, 1)
        raise UserError(f'unknown model "{name}"; known: {", ".join(configs)}'
                        + (f"; did you mean {close[0]}?" if close else ""))
    config = configs[name]
    known = [field.name for field in fields(config)]
    if unknown := sorted(set(overrides) - set(known)):
        raise UserError(f"{type(config).__name__} has no field {', '.join(unknown)}; it has {', '.join(known)}")
    return replace(config, **overrides)


def make_model(config: ViTConfig) -> ViT:
    """The network of a configuration: a HybridViT of a HybridConfig, a MeanPoolViT with mean pooling, else a ViT."""
    if isinstance(config, HybridConfig):
        return HybridViT(config)
    return ViT(config) if config.pool == "cls" else MeanPoolViT(config)


def build(name: str, **overrides: Any) -> ViT:
    """The network of `name` in VARIANTS or HYBRIDS, with fields overridden; UserError for unknown names."""
    return make_model(configure(name, **overrides))


def count_parameters(config: ViTConfig) -> int:
    """The parameters of a network, counted on the meta device without allocation; all L blocks have equal size."""
    with torch.device("meta"):
        model = make_model(replace(config, num_layers=1))
    one_layer, block = (sum(p.numel() for p in part.parameters()) for part in (model, model.encoder))
    return one_layer + (config.num_layers - 1) * block
