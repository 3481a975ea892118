"""Registration of image pairs: shift, rotation and scale by Gauss-Newton steps, and correlation after alignment.

All functions work on b pairs, float32 (b, h, w). Motions are (b, 4): down, right (pixels), rotation (radians), scale
(share), about the centre; M(x) = x + shift + [[scale, rotation], [-rotation, scale]] x.
"""

from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

PATCH = 8                    # side of the compared patches, in pixels
WORST = 0.25                 # quantile of the patch correlations
STEP = 0.2                   # largest change per step: share of the image size, radians, scale


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with repeated borders; as matrix products, which are faster than convolutions for many small
    images.
    """
    return _smoother(x.shape[1], sigma) @ x @ _smoother(x.shape[2], sigma).T


@cache
def _smoother(side: int, sigma: float) -> torch.Tensor:
    """(side, side): each row the weights of one blurred pixel."""
    return torch.from_numpy(gaussian_filter1d(np.eye(side), sigma, axis=0, mode="nearest").astype(np.float32))


def tangents(x: torch.Tensor) -> torch.Tensor:
    """(b, 5, h·w): each image and its derivatives by shift down, right, rotation and scaling, each with mean 0."""
    y, across = _centred_coordinates(x)
    down, right = torch.gradient(x, dim=(1, 2))
    rows = torch.stack([x, down, right, down * across - right * y, down * y + right * across], dim=1).flatten(2)
    return rows - rows.mean(dim=2, keepdim=True)


def pseudo_inverse(rows: torch.Tensor) -> torch.Tensor:
    """Tangents (b, 5, h·w) → their pseudo-inverse, (b, 5, h·w); its products with an image are the coefficients."""
    scale = rows.norm(dim=2, keepdim=True).clamp_min(1e-6)
    rows = rows / scale
    gram = rows @ rows.transpose(1, 2) + 1e-5 * torch.eye(5)
    return torch.linalg.solve(gram, rows) / scale


def tangent_distance(rows: torch.Tensor, inverse: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Tangent distance (Simard et al. 1993): 1 - r² of other images (b, k, h·w) fitted by tangents, (b, k)."""
    others = others - others.mean(dim=2, keepdim=True)
    explained = ((others @ inverse.transpose(1, 2)) * (others @ rows.transpose(1, 2))).sum(dim=2)
    return 1 - explained / (others * others).sum(dim=2).clamp_min(1e-9)


def register(inverse: torch.Tensor, moving: torch.Tensor, motions: torch.Tensor, steps: int) -> torch.Tensor:
    """The motions that align moving images with fixed ones, whose pseudo-inverse is given, after `steps` more steps.

    Each step fits the warped image by the fixed image's tangents and subtracts the fitted motion.
    """
    for _ in range(steps):
        weights = (inverse @ warp(moving, motions).flatten(1)[:, :, None])[:, :, 0]
        gain = weights[:, :1]
        gain = torch.where(gain.abs() < 0.1, 0.1, gain)
        most = STEP * torch.tensor([moving.shape[1], moving.shape[2], 1.0, 1.0])
        motions = motions - torch.minimum(torch.maximum(weights[:, 1:] / gain, -most), most)
    return motions


def warp(x: torch.Tensor, motions: torch.Tensor) -> torch.Tensor:
    """Images warped by motions, bilinear, borders repeated."""
    y, across = _centred_coordinates(x)
    down, right, rotation, scale = (motions[:, k, None, None] for k in range(4))
    grid = torch.stack([2 * (across + right - rotation * y + scale * across) / (x.shape[2] - 1),
                          2 * (y + down + rotation * across + scale * y) / (x.shape[1] - 1)], dim=-1)
    return functional.grid_sample(x[:, None], grid, padding_mode="border", align_corners=True)[:, 0]


def correlation(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Correlation of two images, (b,)."""
    x, y = x.flatten(1), y.flatten(1)
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    return (x * y).sum(dim=1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-9)


def patch_correlation(x: torch.Tensor, y: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The WORST quantile of the correlations of patches inside the mask `inside` (b, h, w), (b,).

    0 where no patch is inside.
    """
    mean = _patches(torch.stack([x, y, x * x, y * y, x * y, inside.float()], dim=1))
    mx, my, xx, yy, xy, share = mean.unbind(1)
    r = (xy - mx * my) / ((xx - mx**2) * (yy - my**2)).clamp_min(1e-12).sqrt()
    r = torch.where(share > 0.9, r, torch.nan).flatten(1)
    return torch.nanquantile(r, WORST, dim=1).nan_to_num(0.0)


def _patches(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, PATCH, stride=PATCH // 2)


def _centred_coordinates(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, 1) and (1, w): distances of the pixels from the centre."""
    height, width = x.shape[1:]
    return torch.arange(height)[:, None] - (height - 1) / 2, torch.arange(width)[None] - (width - 1) / 2
