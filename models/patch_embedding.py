"""Eq. 1: patch embedding, class token and position embeddings."""

import math

import torch
from torch import Tensor, nn

from models.config import ViTConfig


class PatchEmbedding(nn.Module):
    """z_0 = [x_class; x_p^1 E; …; x_p^N E] + E_pos   (Eq. 1), then dropout (Table 3).

    A convolution whose kernel and stride are both P is the same linear projection E of every P×P patch. Images
    (B, C, H, W) → tokens (B, N + 1, D), N = HW/P² patches row by row from the top left, the class token first.
    Raises ValueError if an image's size or channels are not the configuration's.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        patch, width = config.patch_size, config.embedding_dim
        self.project = nn.Conv2d(config.in_channels, width, kernel_size=patch, stride=patch)   # E
        self.class_token = nn.Parameter(torch.empty(1, 1, width))                              # x_class
        self.positions = nn.Parameter(torch.empty(1, config.num_patches + 1, width))           # E_pos
        self.dropout = nn.Dropout(config.dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Projection LeCun-normal (cut at ±2σ, widened to keep its variance), class token 0, positions N(0, 0.02).

        Source: google-research/vision_transformer, vit_jax/models_vit.py; JAX's lecun_normal divides by 0.8796, the
        standard deviation of a unit normal cut at ±2.
        """
        fan_in = self.project.in_channels * self.config.patch_size**2
        std = math.sqrt(1 / fan_in) / 0.87962566103423978
        nn.init.trunc_normal_(self.project.weight, std=std, a=-2 * std, b=2 * std)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.class_token)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        expected = (self.config.in_channels, *self.config.image_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"images are {tuple(images.shape)}, the model takes (batch, channels, height, width) = "
                             f"(any, {', '.join(map(str, expected))})")
        patches = self.project(images)                                   # (B, D, H/P, W/P)
        patches = patches.flatten(2).transpose(1, 2)                     # (B, N, D), row by row from the top left
        class_token = self.class_token.expand(len(images), -1, -1)       # (B, 1, D)
        z = torch.cat([class_token, patches], dim=1) + self.positions    # Eq. 1: (B, N + 1, D)
        return self.dropout(z)
