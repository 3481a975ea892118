"""Masked autoencoding: a ViT's encoder sees a quarter of the patches, and a decoder predicts the pixels of the others.

Source: He et al. 2022, arXiv 2111.06377.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoder_block import TransformerEncoder
from models.vit import ViT

MASKED = 0.75            # of the patches (§4.1)
DECODER_LAYERS = 2       # of the encoder's width: the small network has 4 itself


class MaskedAutoencoder(nn.Module):
    """Images (B, C, H, W) → the mean over masked patches of |predicted - standardised pixels|² / (CP²), a scalar.

    `vit` encodes the class token and the patches that are not masked; mask tokens take the others' places in the
    decoder. Pixels are standardised within their patch ("norm_pix_loss"). `generator` draws the masks.
    """

    def __init__(self, vit: ViT, generator: torch.Generator):
        super().__init__()
        self.vit, self.generator = vit, generator
        config = vit.config
        self.kept = max(1, round((1 - MASKED) * config.num_patches))
        self.mask_token = nn.Parameter(torch.empty(1, 1, config.embedding_dim))
        self.positions = nn.Parameter(torch.empty(1, config.num_patches + 1, config.embedding_dim))
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.normal_(self.positions, std=0.02)
        self.decoder = TransformerEncoder(replace(config, num_layers=DECODER_LAYERS))
        self.norm = nn.LayerNorm(config.embedding_dim, eps=config.norm_eps)
        self.pixels = nn.Linear(config.embedding_dim, config.in_channels * config.patch_size**2)

    def forward(self, images: Tensor) -> Tensor:
        order = torch.rand(len(images), self.vit.config.num_patches, generator=self.generator).argsort(dim=1)
        order = order.to(images.device)
        predicted, wanted = self.predict(images, order), self.wanted(images)
        error = (predicted - wanted).square().mean(dim=2)                                  # (B, N)
        return error.gather(1, order[:, self.kept:]).mean()

    def predict(self, images: Tensor, order: Tensor) -> Tensor:
        """Pixels of every patch (B, N, CP²); the first `kept` patches of `order` (B, N) are visible."""
        embedding, width = self.vit.patch_embedding, self.vit.config.embedding_dim
        patches = embedding.project(images).flatten(2).transpose(1, 2) + embedding.positions[:, 1:]
        visible = order[:, :self.kept, None].expand(-1, -1, width)
        first = (embedding.class_token + embedding.positions[:, :1]).expand(len(images), -1, -1)
        z = self.vit.norm(self.vit.encoder(torch.cat([first, patches.gather(1, visible)], dim=1)))
        tokens = self.mask_token.expand(len(images), patches.shape[1], -1).scatter(1, visible, z[:, 1:])
        decoded = self.decoder(torch.cat([z[:, :1], tokens], dim=1) + self.positions)
        return self.pixels(self.norm(decoded[:, 1:]))

    def wanted(self, images: Tensor) -> Tensor:
        """The pixels of every patch (B, N, CP²), standardised within the patch."""
        pixels = F.unfold(images, self.vit.config.patch_size, stride=self.vit.config.patch_size).transpose(1, 2)
        return (pixels - pixels.mean(dim=2, keepdim=True)) / (pixels.var(dim=2, keepdim=True) + 1e-6).sqrt()
