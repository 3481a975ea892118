"""FLOP of a training step, the same for all implementations: of a ViT that computes all tokens in its last block."""

import torch

from benchmarks.peers import torchvision_vit
from functions.training.throughput import training_flop
from models import ViTConfig


def training_flops(config: ViTConfig) -> float:
    """FLOP of a training step per image of torchvision's ViT of these sizes, RGB and square, as torch counts them.

    `models.ViT` computes fewer: Eq. 4 reads the class token only.
    """
    with torch.device("meta"):
        model = torchvision_vit(config)
    model.config = config
    return training_flop(model)
