"""The methods of a comparison, in the order of their cost, and how each is trained: all fixed in advance."""

from pathlib import Path
from typing import NamedTuple

from functions.runtime.errors import UserError


class Method(NamedTuple):
    """A method: its name in tables, the pretrained weights that it needs, and how it is trained if it is a network.

    `factor` times the optimiser steps of the comparison are its own, for any number of training patients: a network
    that costs less per image gets more of them.
    """

    title: str
    needs: str = ""                # "vit" or "resnet18": which file of weights
    factor: int = 0
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 1.0


METHODS = {
    "constant": Method("always the commonest class"),
    "age_sex": Method("age and sex, logistic regression"),
    "four_numbers": Method("four numbers, logistic regression"),
    "boosting": Method("four numbers, gradient boosting"),
    "nearest": Method("nearest slice (1-NN)"),
    "vit_probe": Method("pretrained ViT, ridge on frozen features", "vit"),
    "vit_head": Method("pretrained ViT, head on frozen features", "vit", 8, 64),           # recipes/transfer_cpu.yaml
    "vit": Method("ViT from scratch", "", 4, weight_decay=0.1),                            # recipes/mri_cpu.yaml
    "hybrid": Method("hybrid from scratch", "", 2, weight_decay=0.1),
    "resnet18": Method("ResNet-18 from scratch", "", 1),
    "vit_tuned": Method("pretrained ViT, fine-tuned", "vit", 1, lr=1e-4, layer_decay=0.75),
    "resnet18_tuned": Method("pretrained ResNet-18, fine-tuned", "resnet18", 1, lr=1e-4, layer_decay=0.75),
}
QUESTIONED = ("vit", "vit_probe", "vit_head", "vit_tuned")         # is it better than …
OPPONENTS = ("resnet18", "four_numbers")                           # … these
SHORT = {"ti": "vit_ti_16", "s14": "vit_s_14", "s16": "vit_s_16", "b16": "vit_b_16"}
ALL = 0                                                            # the size "all training patients"


def parse_methods(text: str | None) -> list[str]:
    """"vit,resnet18" → names in the order of METHODS, by default all; UserError for an unknown one."""
    names = list(METHODS) if text is None else text.split(",")
    if unknown := [name for name in names if name not in METHODS]:
        raise UserError(f'no method "{unknown[0]}"; known: {", ".join(METHODS)}')
    return [name for name in METHODS if name in names]


def parse_sizes(text: str) -> list[int]:
    """"10,20,all" → [10, 20, ALL], growing; UserError for other text and for fewer than 5 patients."""
    parts = text.split(",")
    if wrong := [part for part in parts if part != "all" and not (part.isdecimal() and int(part) >= 5)]:
        raise UserError(f'--patients {text}: "{wrong[0][:40]}" is neither a number of at least 5 nor "all"')
    numbers = sorted({int(part) for part in parts if part != "all"})
    return [*numbers, *([ALL] if "all" in parts else [])]


def size_name(size: int) -> str:
    """"10" or "all"."""
    return str(size) if size != ALL else "all"


def parse_weights(given: list[str]) -> dict[str, tuple[str, Path]]:
    """["ti=FILE", …] → {"vit": ("vit_ti_16", FILE), …}; UserError for another model, two of a kind or a missing file.
    """
    found: dict[str, tuple[str, Path]] = {}
    for text in given:
        name, equals, file = text.partition("=")
        model = SHORT.get(name, name)
        kind = "vit" if model.startswith("vit_") else model
        if not equals or kind not in ("vit", "resnet18"):
            raise UserError(f"--weights {text}: give MODEL=FILE with a Vision Transformer, such as vit_ti_16 or "
                            f"{', '.join(SHORT)}, or resnet18")
        if kind in found:
            raise UserError(f"--weights {text}: {found[kind][0]} is given as well, and one of a kind can be compared")
        if not Path(file).exists():
            raise UserError(f"--weights {text}: there is no {file}")
        found[kind] = (model, Path(file))
    return found
