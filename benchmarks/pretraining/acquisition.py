"""From generated and real slices to the network's input: random acquisition of the former, one standard for both."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

SCALE = 1.2              # real brains in 96x80 are larger than generated ones by this
BRAIN = 0.04             # of 1: darker pixels are outside


def standardise(images: Tensor) -> Tensor:
    """(x - mean) / SD of each image (B, 1, H, W), at least -3: mean and SD over its pixels above BRAIN.

    The image's brightness and contrast are removed.
    """
    inside = (images > BRAIN).to(images.dtype)
    count = inside.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = (images * inside).sum((1, 2, 3), keepdim=True) / count
    variance = ((images - mean).square() * inside).sum((1, 2, 3), keepdim=True) / count
    return ((images - mean) / (variance.sqrt() + 1e-3)).clamp(min=-3)


def placed(images: Tensor, scale: Tensor, angle: Tensor, stretch: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Images (B, 1, H, W) enlarged by `scale`, rotated by `angle`, stretched across, mirrored by -1, shifted."""
    height, width = images.shape[-2:]
    aspect, cosine, sine = width / height, torch.cos(angle), torch.sin(angle)
    across = torch.stack([mirror * stretch * cosine / scale, mirror * sine / (scale * aspect), shift[:, 0]], dim=1)
    down = torch.stack([-sine * aspect / scale, cosine / scale, shift[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def acquired(images: Tensor, generator: Generator, vary: bool, scale: float = SCALE) -> Tensor:
    """Slices uint8 (B, 1, H, W), generated ones unless `scale` is 1 → standardised input, at the size of real brains.

    With `vary` each slice has its own size, pose, mirror image, gamma, sharpness, bias field and noise.
    """
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    x, one = images.float() / 255, torch.ones(count)
    if not vary:
        return standardise(placed(x, scale * one, 0 * one, one, torch.zeros(count, 2), one))
    mirror = torch.where(uniform(0, 1) < 0.5, -one, one)
    shift = torch.stack([uniform(-0.08, 0.08), uniform(-0.08, 0.08)], dim=1)
    x = placed(x, scale * uniform(0.88, 1.1), uniform(-8, 8) * (math.pi / 180), uniform(0.95, 1.05), shift, mirror)
    gamma, blur, gain, noise = (uniform(*limits).view(-1, 1, 1, 1)
                                for limits in ((0.65, 1.5), (-0.5, 0.8), (0.7, 1.15), (0.0, 0.025)))
    x = x.clamp(min=1e-4) ** gamma
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = (x + blur * (smooth - x)).clamp(0, 1.5) * gain
    field = F.interpolate(0.08 * torch.randn(count, 1, 3, 3, generator=generator), size=x.shape[-2:], mode="bicubic",
                          align_corners=True)
    x = x * (1 + field) + (x > 0.02) * noise * torch.randn(x.shape, generator=generator)
    return standardise(x.clamp(0, 1))
