"""Shifted patch tokenisation: each patch is seen with four copies of the image, shifted by half a patch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.vit import ViT


class ShiftedPatches(nn.Module):
    """Images (B, C, H, W) → (B, D, H/P, W/P): E LN([x; x shifted by P/2 in the four diagonal directions]) per patch.

    Pixels from outside are 0. P must be even. Source: Lee et al. 2021, arXiv 2112.13492, §3.1.
    """

    def __init__(self, in_channels: int, width: int, patch: int):
        super().__init__()
        self.patch = patch
        values = 5 * in_channels * patch**2
        self.norm = nn.LayerNorm(values)
        self.project = nn.Linear(values, width)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        half = self.patch // 2
        padded = F.pad(images, (half, half, half, half))
        shifted = [padded[..., down:down + height, right:right + width]
                   for down in (0, 2 * half) for right in (0, 2 * half)]
        pixels = F.unfold(torch.cat([images, *shifted], dim=1), self.patch, stride=self.patch)      # (B, 5CP², N)
        tokens = self.project(self.norm(pixels.transpose(1, 2)))                                    # (B, N, D)
        return tokens.transpose(1, 2).unflatten(2, (height // self.patch, width // self.patch))


def with_shifted_patches(model: ViT) -> ViT:
    """`model` with E of Eq. 1 replaced by ShiftedPatches."""
    config = model.config
    model.patch_embedding.project = ShiftedPatches(config.in_channels, config.embedding_dim, config.patch_size)
    return model
