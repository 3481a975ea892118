"""Mixup and CutMix: training batches whose images are mixed in pairs, with soft targets."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2


class Mixing(nn.Module):
    """Mixes each image of a batch with the one before it, the first with the last: a share λ of its own, 1 - λ of that.

    Mixup (Zhang et al. 2018, arXiv 1710.09412) blends the pixels, λ x_i + (1 - λ) x_j; CutMix (Yun et al. 2019, arXiv
    1905.04899) pastes a box of x_j whose area is 1 - λ. λ ~ Beta(α, α) is drawn once per batch, α being `mixup` or
    `cutmix`; if both are above 0, each batch is one or the other with probability ½, as in torchvision's references.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int):
        super().__init__()
        kinds = [kind(alpha=float(alpha), num_classes=num_classes)
                 for kind, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix)) if alpha]
        self.mix = kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)

    def forward(self, images: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and labels (B,) → mixed images and soft targets (B, K), rows λ e_i + (1 - λ) e_j.

        Images from `count` on are padding (distributed_batches.py): they stay as they are, with rows of zeros.
        """
        mixed, targets = self.mix(images[:count], labels[:count])
        if padding := len(images) - count:
            mixed, targets = torch.cat([mixed, images[count:]]), F.pad(targets, (0, 0, 0, padding))
        return mixed, targets


def make_mixing(mixup: float, cutmix: float, num_classes: int) -> Mixing | None:
    """The Mixing of these settings; None if both are 0."""
    return Mixing(mixup, cutmix, num_classes) if mixup or cutmix else None
