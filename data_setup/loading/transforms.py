"""Transforms of a batch on the device: uint8 pixels → normalised floats.

Training and evaluation use the same mean and std. Training may augment each slice first.
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from data_setup.images.read import DEPTH_RULE
from data_setup.images.resize import Frame, from_description
from data_setup.loading.dataset import read_slice


class RandomAugment(nn.Module):
    """Augments each slice of a float batch (B, C, H, W) in 0..1 with its own random numbers.

    Rotation up to ±10°, shift up to ±5 % of the side, scale 0.9–1.1, horizontal flip (probability 0.5), contrast and
    brightness up to ±15 %; no vertical flip and no shear. torchvision's v2.RandomAffine draws once per call, so all
    slices of a batch would move alike; here one grid holds a transform per slice. Pixels from outside are black.
    """

    degrees, shift, scale, light = 10.0, 0.05, 0.1, 0.15

    def forward(self, images: Tensor) -> Tensor:
        batch, device = len(images), images.device
        angle, zoom, right, down, contrast, brightness = torch.rand(6, batch, device=device) * 2 - 1    # in ±1
        flip = torch.where(torch.rand(batch, device=device) < 0.5, -1.0, 1.0)
        moved = affine(images, angle * self.degrees, right * self.shift, down * self.shift, 1 + zoom * self.scale, flip)
        light = moved * (1 + contrast * self.light)[:, None, None, None]
        inside = (moved > 0).to(moved.dtype)                                # black stays black
        return (light + (brightness * self.light / 2)[:, None, None, None] * inside).clamp(0, 1)


def affine(images: Tensor, degrees: Tensor, right: Tensor, down: Tensor, scale: Tensor, flip: Tensor) -> Tensor:
    """Each image (B, C, H, W) mirrored (flip = -1), then scaled and rotated clockwise about its centre, then shifted.

    `right` and `down` are fractions of width and height; all arguments are (B,). Bilinear; pixels from outside are 0.
    Agrees with torchvision's v2.functional.affine. The grid is computed elementwise: F.affine_grid multiplies matrices,
    which on a GPU with TF32 have a precision of 10 bits.
    """
    height, width = images.shape[-2:]
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    aspect = height / width                       # grid coordinates run -1..1 along both sides
    x = pixel_centres(width, images.device) - 2 * right[:, None, None]                 # (B, 1, W)
    y = pixel_centres(height, images.device)[:, None] - 2 * down[:, None, None]        # (B, H, 1)
    cos, sin, flip = (value[:, None, None] for value in (cos, sin, flip))
    from_x = (cos * x + sin * aspect * y) * flip  # source of an output pixel: the inverse map
    from_y = cos * y - sin / aspect * x
    grid = torch.stack([from_x, from_y], dim=-1).to(images.dtype)                      # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def pixel_centres(count: int, device: torch.device) -> Tensor:
    """Centres of `count` pixels along a side that runs from -1 to 1: (count,)."""
    return (2 * torch.arange(count, device=device, dtype=torch.float32) + 1) / count - 1


class Normalise(nn.Module):
    """(x - mean) / std per channel; v2.Normalize would copy both to the device with every batch."""

    def __init__(self, mean: list[float], std: list[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def make_transforms(mean: list[float], std: list[float], augment: bool) -> tuple[nn.Module, nn.Module]:
    """(training, evaluation) transforms of a uint8 batch (B, C, H, W) → float32, (x/255 - mean) / std a channel."""
    to_float, normalise = v2.ToDtype(torch.float32, scale=True), Normalise(mean, std)
    evaluation = nn.Sequential(to_float, normalise)      # v2.Compose keeps a plain list: .to(device) would move nothing
    return nn.Sequential(to_float, RandomAugment(), normalise) if augment else evaluation, evaluation


def describe_preprocessing(frame: Frame, channels: int, mean: list[float], std: list[float]) -> dict:
    """All steps from file to model input, as plain types, for a checkpoint."""
    return frame.describe() | {"channels": channels, "depth": DEPTH_RULE, "mean": mean, "std": std}


def image_reader(preprocessing: dict) -> Callable[[str | Path], Tensor]:
    """A checkpoint's preprocessing → a function from an image file to the model's input (C, H, W)."""
    _, evaluation = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)
    frame = from_description(preprocessing)

    def read(path: str | Path) -> Tensor:
        pixels = read_slice(path, frame, preprocessing["channels"])
        return evaluation(torch.from_numpy(pixels.copy()))

    return read
