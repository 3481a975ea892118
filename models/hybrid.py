"""The paper's hybrids: patches are taken from a ResNet's feature map instead of the image (§3.1)."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import GROUPS, HybridConfig
from models.patch_embedding import lecun_normal_, patch_projection
from models.vit import ViT


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pads (…, H, W) so that ⌈H/stride⌉ windows fit, as JAX's SAME: an odd pixel is added below and on the right."""
    totals = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return F.pad(x, (left, right, top, bottom), value=value)


class StdConv2d(nn.Conv2d):
    """Convolution with standardised kernels, (W - mean) / (std + 1e-5) for each output channel, SAME padding, no bias.

    Source: vit_jax/models_resnet.py; timm's StdConv2dSame divides by √(var + 1e-8) instead.
    """

    def __init__(self, channels: int, features: int, kernel: int, stride: int = 1):
        super().__init__(channels, features, kernel, stride, bias=False)
        lecun_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        std, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        weight = (self.weight - mean) / (std + 1e-5)
        return F.conv2d(pad_same(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)


def group_norm(channels: int) -> nn.GroupNorm:
    """Flax's defaults: 32 groups, epsilon 1e-6."""
    return nn.GroupNorm(GROUPS, channels, eps=1e-6)


class ResidualUnit(nn.Module):
    """relu(gn3(conv3(relu(gn2(conv2(relu(gn1(conv1(x)))))))) + x): (B, C, H, W) → (B, 4F, H/s, W/s).

    x is projected where its shape changes. The last norm is initialised to zero, so that the unit starts as its
    shortcut.
    """

    def __init__(self, channels: int, features: int, stride: int):
        super().__init__()
        if stride != 1 or channels != 4 * features:
            self.conv_proj, self.gn_proj = StdConv2d(channels, 4 * features, 1, stride), group_norm(4 * features)
        self.conv1, self.gn1 = StdConv2d(channels, features, 1), group_norm(features)
        self.conv2, self.gn2 = StdConv2d(features, features, 3, stride), group_norm(features)
        self.conv3, self.gn3 = StdConv2d(features, 4 * features, 1), group_norm(4 * features)
        nn.init.zeros_(self.gn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.gn_proj(self.conv_proj(x)) if hasattr(self, "conv_proj") else x
        x = F.relu(self.gn1(self.conv1(x)))
        x = F.relu(self.gn2(self.conv2(x)))
        return F.relu(self.gn3(self.conv3(x)) + shortcut)


class ResNetStem(nn.Module):
    """Images (B, C, H, W) → (B, 64, H/4, W/4) without stages, (B, 128·2^S, H/2^(S+1), W/2^(S+1)) after S stages."""

    def __init__(self, units: tuple[int, ...], in_channels: int, width: int = 64):
        super().__init__()
        self.conv_root, self.gn_root = StdConv2d(in_channels, width, 7, 2), group_norm(width)
        self.channels = width
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, count in enumerate(units):
            features = width * 2**stage
            made: OrderedDict[str, nn.Module] = OrderedDict()
            for unit in range(count):
                stride = 2 if stage and unit == 0 else 1
                made[f"unit{unit + 1}"] = ResidualUnit(self.channels, features, stride)
                self.channels = 4 * features
            stages[f"block{stage + 1}"] = nn.Sequential(made)
        self.stages = nn.Sequential(stages)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.gn_root(self.conv_root(images)))
        x = F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)
        return self.stages(x)


class HybridViT(ViT):
    """The ViT whose Eq. 1 projects patches of a ResNet's feature map: images (B, C, H, W) → logits (B, K).

    Otherwise identical to ViT, parameter names included.
    """

    def __init__(self, config: HybridConfig):
        super().__init__(config)
        stem = ResNetStem(config.units, config.in_channels, config.stem_width)
        patches = patch_projection(stem.channels, config.embedding_dim, config.stem_patch)
        self.patch_embedding.project = nn.Sequential(OrderedDict(stem=stem, patches=patches))
