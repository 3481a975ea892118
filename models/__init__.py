"""The Vision Transformer of Dosovitskiy et al. 2021 (arXiv 2010.11929), one module per equation."""

from models.config import VARIANTS, ViTConfig
from models.encoder_block import TransformerEncoder, TransformerEncoderBlock
from models.mlp_block import MLPBlock
from models.msa_block import MSABlock, SelfAttention
from models.patch_embedding import PatchEmbedding
from models.vit import ViT, build

__all__ = [
    "VARIANTS",
    "MLPBlock",
    "MSABlock",
    "PatchEmbedding",
    "SelfAttention",
    "TransformerEncoder",
    "TransformerEncoderBlock",
    "ViT",
    "ViTConfig",
    "build",
]
