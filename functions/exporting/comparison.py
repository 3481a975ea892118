"""The logits of an exported file beside PyTorch's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

TOLERANCE = 1e-4             # of a logit, or of the largest one where that is above 1
BATCHES = (1, 3, 33)         # none is the size that was traced, 2


def repeated(images: Tensor, count: int = max(BATCHES)) -> Tensor:
    """The first `count` images (count, C, H, W), begun again if there are fewer."""
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def pytorch_logits(model: nn.Module, images: Tensor) -> Tensor:
    """The model's logits (B, K) in fp32, in eval mode."""
    with torch.inference_mode():
        return model.eval()(images).clone()


def largest_difference(name: str, run: Callable[[Tensor], Tensor], images: Tensor, expected: Tensor,
                       batches: Sequence[int] = BATCHES) -> float:
    """max |logit - expected| over the first n images for every n of `batches`, divided by max(1, max |expected|).

    `run` maps images (n, C, H, W) to the exported network's logits (n, K). RuntimeError if the difference exceeds
    TOLERANCE or is not a number: the file must not be used.
    """
    scale, largest = max(1.0, expected.abs().max().item()), 0.0
    for count in batches:
        found, wanted = run(images[:count]), expected[:count]
        if found.shape != wanted.shape:
            raise RuntimeError(f"{name}: logits of {count} images are {tuple(found.shape)}, not {tuple(wanted.shape)}")
        difference = (found - wanted).abs().max().item() / scale
        if not difference <= TOLERANCE:
            raise RuntimeError(f"{name}: logits of {count} images differ from PyTorch's by {difference:.2g}, more than "
                               f"{TOLERANCE:g}: no file is kept")
        largest = max(largest, difference)
    return largest
