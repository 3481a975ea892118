"""Small networks from scratch for gray images on a CPU: a ViT, a hybrid, and a ResNet-18 to compare them with."""

from typing import Any

from torch import nn

from functions.runtime.errors import UserError
from models.config import HybridConfig, ViTConfig
from models.factory import make_model
from models.transfer import TransferConfig, TransferModel

WIDTH, LAYERS, HEADS, MLP = 64, 4, 4, 256          # of recipes/mri_cpu.yaml
SMALL = ("vit", "hybrid", "resnet18")
SMALLEST = 40                                      # pixels: a ResNet-18 reduces a side by 32, to at least two


def token_size(image_size: tuple[int, int]) -> int:
    """16 pixels a side from 96 pixels in height on, if both sides are divisible by 16, otherwise 8.

    UserError for a side below SMALLEST, or one that is no multiple of 8.
    """
    if any(side < SMALLEST or side % 8 for side in image_size):
        raise UserError(f"the image size is {'x'.join(map(str, image_size))}: both sides must be multiples of 8 and at "
                        f"least {SMALLEST}")
    return 16 if image_size[0] >= 96 and not any(side % 16 for side in image_size) else 8


def small_network(name: str, image_size: tuple[int, int], num_classes: int) -> nn.Module:
    """The network `name` of SMALL for images (B, 1, H, W) → logits (B, K), with random weights.

    "vit" is the hand-written ViT with D = 64, L = 4; "hybrid" the same on the feature map of the authors' smallest
    stem, a convolution and a pooling (r_vit_ti_16: units ()); "resnet18" torchvision's.
    """
    if name == "resnet18":
        net = TransferModel(TransferConfig("resnet18", "torchvision", image_size, 1, num_classes))
        net.unfreeze("all")
        return net
    side = token_size(image_size)
    sizes: dict[str, Any] = {"image_size": image_size, "patch_size": side, "in_channels": 1,
                             "num_classes": num_classes, "num_layers": LAYERS, "embedding_dim": WIDTH,
                             "mlp_size": MLP, "num_heads": HEADS}
    return make_model(ViTConfig(**sizes) if name == "vit" else HybridConfig(**sizes, units=(), stem_patch=side // 4))
