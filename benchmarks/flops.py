"""What a ViT must compute, by formula, and what the device can, by measurement."""

import time

import torch

from benchmarks.timing import synchronise
from functions.runtime import autocast
from models import ViTConfig


def forward_flops(config: ViTConfig) -> int:
    """FLOP of one image's forward pass, a multiply-add being two; T = N + 1 tokens:

    2·N·P²C·D + L·(2·T·4D² [qkv, out] + 4·T²·D [attention] + 4·T·D·M [MLP]) + 2·D·K.

    Norms, GELU and softmax are left out, as is usual (Chowdhery et al. 2022, appendix B).
    """
    d, tokens = config.embedding_dim, config.num_patches + 1
    patches = 2 * config.num_patches * config.patch_size**2 * config.in_channels * d
    block = 8 * tokens * d**2 + 4 * tokens**2 * d + 4 * tokens * d * config.mlp_size
    return patches + config.num_layers * block + 2 * d * config.num_classes


def training_flops(config: ViTConfig) -> int:
    """Three times the forward pass: each product has two gradients, of its weight and of its input.

    The patches have one only, since nobody wants the image's gradient.
    """
    patches = 2 * config.num_patches * config.patch_size**2 * config.in_channels * config.embedding_dim
    return 3 * forward_flops(config) - patches


def ceiling(device: torch.device, precision: str, side: int = 8192, tries: int = 10) -> float:
    """FLOP/s of the best of some products of two side×side matrices at this precision: what the device can at most."""
    a = torch.randn(side, side, device=device)
    best = float("inf")
    with autocast(precision, device), torch.no_grad():
        a = (a @ a) / side                       # warms up, and has the precision's own type
        for _ in range(tries):
            synchronise(device)
            started = time.perf_counter()
            a @ a
            synchronise(device)
            best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best
