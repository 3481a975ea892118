"""The same Vision Transformer four times: ours, torchvision's, timm's and Hugging Face's, random weights."""

from collections.abc import Callable

from torch import Tensor, nn

from models import ViT, ViTConfig


class Logits(nn.Module):
    """Hugging Face's model as images → logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).logits


def torchvision_vit(config: ViTConfig) -> nn.Module:
    """torchvision.models.vit_b_16's class at any size: dropout 0, LayerNorm epsilon 1e-6."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(config.image_size[0], config.patch_size, config.num_layers, config.num_heads,
                             config.embedding_dim, config.mlp_size, num_classes=config.num_classes)


def timm_vit(config: ViTConfig) -> nn.Module:
    """timm's vit_base_patch16_224 class at any size, its fused attention on."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(config.image_size[0], config.patch_size, config.in_channels, config.num_classes,
                             embed_dim=config.embedding_dim, depth=config.num_layers, num_heads=config.num_heads,
                             mlp_ratio=config.mlp_size / config.embedding_dim)


def transformers_vit(config: ViTConfig) -> nn.Module:
    """transformers' ViTForImageClassification with its scaled_dot_product_attention, dropout 0."""
    from transformers import ViTConfig as TheirConfig
    from transformers import ViTForImageClassification

    theirs = TheirConfig(hidden_size=config.embedding_dim, num_hidden_layers=config.num_layers,
                         num_attention_heads=config.num_heads, intermediate_size=config.mlp_size,
                         image_size=config.image_size[0], patch_size=config.patch_size,
                         num_channels=config.in_channels, num_labels=config.num_classes, hidden_dropout_prob=0.0,
                         attention_probs_dropout_prob=0.0, attn_implementation="sdpa")
    return Logits(ViTForImageClassification(theirs))


PEERS: dict[str, Callable[[ViTConfig], nn.Module]] = {
    "ours": ViT, "torchvision": torchvision_vit, "timm": timm_vit, "transformers": transformers_vit}
