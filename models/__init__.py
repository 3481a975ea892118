"""The Vision Transformer of Dosovitskiy et al. 2021 (arXiv 2010.11929), one module per equation."""

from models.config import HYBRIDS, VARIANTS, HybridConfig, ViTConfig
from models.encoder_block import TransformerEncoder, TransformerEncoderBlock
from models.factory import build, make_model
from models.hybrid import HybridViT
from models.mlp_block import MLPBlock
from models.msa_block import MSABlock, SelfAttention
from models.patch_embedding import PatchEmbedding
from models.vit import ViT

__all__ = [
    "HYBRIDS",
    "VARIANTS",
    "HybridConfig",
    "HybridViT",
    "MLPBlock",
    "MSABlock",
    "PatchEmbedding",
    "SelfAttention",
    "TransformerEncoder",
    "TransformerEncoderBlock",
    "ViT",
    "ViTConfig",
    "build",
    "make_model",
]
