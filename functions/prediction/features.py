"""Probabilities and features of a batch of images in one forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from functions.runtime.device import autocast
from models.transfer import TransferModel, blocks_of
from models.vit import ViT


class FeatureExtractor:
    """images (B, C, H, W) → class probabilities (B, K) and features (B, F), both float32 on the CPU.

    The features are the input of the last linear layer, for a ViT y of Eq. 4; a ViT's also contain the mean over the
    patch tokens after its middle block, which keeps what the classes do not need, if it has several blocks. `mirrored`
    averages the probabilities of the images and of their mirror images (left and right); features are of the images.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: str, mirrored: bool = False):
        self.model, self.device, self.precision, self.mirrored = model.eval(), device, precision, mirrored
        backbone = model.backbone if isinstance(model, TransferModel) else model
        self.head = model.head if isinstance(model, TransferModel) else model.classifier
        blocks = blocks_of(backbone)[0]
        inner = len(blocks) > 1 and blocks_have_tokens(backbone)    # the last block of a ViT gives the class token only
        self.middle = blocks[(len(blocks) - 1) // 2] if inner else None

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self.device)
        with _recorded(self.middle, _output) as tokens, _recorded(self.head, _input) as last:
            probabilities = self._probabilities(images)
        count = len(images)                                   # a frozen backbone pads its last chunk
        parts = [torch.cat(last)[:count]]
        if tokens:
            parts.insert(0, torch.cat(tokens)[:count, 1:].mean(dim=1))
        features = torch.cat([part.float() for part in parts], dim=1).cpu()
        if self.mirrored:
            probabilities = (probabilities + self._probabilities(images.flip(3))) / 2
        return probabilities.cpu(), features

    def _probabilities(self, images: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            logits = self.model(images)
        return logits.float().softmax(dim=1)


def blocks_have_tokens(backbone: nn.Module) -> bool:
    """Whether the blocks of a network are Transformer blocks, whose output are tokens (B, N + 1, D)."""
    return isinstance(backbone, ViT) or hasattr(backbone, "conv_proj")


def _input(arguments: tuple, output: Tensor) -> Tensor:
    return arguments[0]


def _output(arguments: tuple, output: Tensor) -> Tensor:
    return output


@contextmanager
def _recorded(module: Any, what: Callable[[tuple, Tensor], Tensor]) -> Iterator[list[Tensor]]:
    """A list to which every call of `module` adds its input or output; empty without a module."""
    found: list[Tensor] = []
    if module is None:
        yield found
        return
    hook = module.register_forward_hook(lambda _, arguments, output: found.append(what(arguments, output)))
    try:
        yield found
    finally:
        hook.remove()
