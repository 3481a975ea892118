"""FLOP of a ViT by formula; `training_flop` in functions/training/throughput.py counts any network."""

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


def skipped_flops(config: ViTConfig) -> int:
    """FLOP of a forward pass that `models.ViT` leaves out of `forward_flops`: Eq. 4 reads the class token only.

    In the last block the N other tokens need no query, output projection, attention row and MLP: N·(4D² + 4T·D + 4D·M).
    """
    d, tokens = config.embedding_dim, config.num_patches + 1
    return config.num_patches * (4 * d**2 + 4 * tokens * d + 4 * d * config.mlp_size)


def training_flops(config: ViTConfig) -> int:
    """Three times the forward pass: each product has two gradients, of its weight and of its input.

    The patch projection has one only, since the gradient of the image is not needed.
    """
    patches = 2 * config.num_patches * config.patch_size**2 * config.in_channels * config.embedding_dim
    return 3 * forward_flops(config) - patches
