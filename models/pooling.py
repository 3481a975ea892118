"""ViTs whose classifier reads the mean over the patch tokens in place of the class token (Eq. 4)."""

from typing import ClassVar

from torch import Tensor, nn

from models.vit import ViT


class MeanPoolViT(ViT):
    """Images (B, C, H, W) → class logits (B, K): ViT up to z_L, then the mean over patches in place of Eq. 4.

    Parameters and their names are ViT's; the class token is only attended to.
    """

    pools: ClassVar[tuple[str, ...]] = ("mean", "mean_then_norm")

    def forward(self, images: Tensor) -> Tensor:
        z = self.encoder(self.patch_embedding(images))                    # z_L, (B, N + 1, D)
        return self.classifier(mean_of_patches(z, self.norm, self.config.pool))


def mean_of_patches(z: Tensor, norm: nn.Module, pool: str) -> Tensor:
    """The mean over patches i = 1 … N: tokens z_L (B, N + 1, D) → (B, D); the class token is not in it.

    "mean" is mean_i LN(z_L^i), "mean_then_norm" LN(mean_i z_L^i). Sources: timm, global_pool="avg" with fc_norm=False
    and with fc_norm=True; facebookresearch/mae, models_vit.py, where the norm after the mean is named fc_norm.
    """
    patches = z[:, 1:]
    return norm(patches.mean(dim=1)) if pool == "mean_then_norm" else norm(patches).mean(dim=1)
