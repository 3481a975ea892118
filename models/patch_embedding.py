"""Eq. 1: patch embedding, class token and position embeddings."""

import torch
from torch import Tensor, nn

from models.config import ViTConfig


def lecun_normal_(weight: Tensor) -> None:
    """N(0, 1/fan_in), truncated at ±2σ and rescaled to keep its variance, for a kernel (out, in, height, width).

    Source: jax.nn.initializers.lecun_normal, Flax's default; it divides by 0.8796, the standard deviation of a unit
    normal truncated at ±2.
    """
    std = weight[0].numel() ** -0.5 / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def patch_projection(in_channels: int, width: int, patch: int) -> nn.Conv2d:
    """E of Eq. 1: the linear projection of every P×P patch, a convolution whose kernel and stride are both P.

    LeCun-normal with bias 0. Source: google-research/vision_transformer, vit_jax/models_vit.py.
    """
    projection = nn.Conv2d(in_channels, width, kernel_size=patch, stride=patch)
    lecun_normal_(projection.weight)
    nn.init.zeros_(projection.get_parameter("bias"))
    return projection


class PatchEmbedding(nn.Module):
    """z_0 = [x_class; x_p^1 E; …; x_p^N E] + E_pos   (Eq. 1), then dropout (Table 3); with `pre_norm` LN(z_0) (CLIP).

    Images (B, C, H, W) → tokens (B, N + 1, D), N = HW/P² patches row by row from the top left, the class token first.
    Raises UserError if an image's size or channels are not the configuration's.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        width = config.embedding_dim
        self.project: nn.Module = patch_projection(config.in_channels, width, config.patch_size)     # E
        self.class_token = nn.Parameter(torch.empty(1, 1, width))                                    # x_class
        self.positions = nn.Parameter(torch.empty(1, config.num_patches + 1, width))                 # E_pos
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps) if config.pre_norm else nn.Identity()
        nn.init.zeros_(self.class_token)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        expected = (self.config.in_channels, *self.config.image_size)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"images are {tuple(images.shape)}, the model takes (batch, channels, height, width) = "
                             f"(any, {', '.join(map(str, expected))})")
        patches = self.project(images)                                   # (B, D, H/P, W/P)
        patches = patches.flatten(2).transpose(1, 2)                     # (B, N, D), row by row from the top left
        class_token = self.class_token.expand(images.shape[0], -1, -1)   # (B, 1, D)
        z = torch.cat([class_token, patches], dim=1) + self.positions    # Eq. 1: (B, N + 1, D)
        return self.norm(self.dropout(z))
