"""One picture laid on another: shift, turn and scale found by Gauss-Newton steps, and what is alike once it lies there.

All functions work on pairs, b at a time, float32 (b, h, w). Moves are (b, 4): down, right (pixels), turn (radians),
scale (share), about the middle; M(x) = x + shift + [[scale, turn], [-turn, scale]] x.
"""

from functools import cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

PATCH = 8                    # pixels, of the parts of a picture that are compared one by one
WORST = 0.25                 # share of the parts that may be less alike
STEP = 0.2                   # most that one step may move, of the picture, turn by, or scale by


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian, borders repeated; by matrices, which is faster than convolving many small pictures."""
    return _smoother(x.shape[1], sigma) @ x @ _smoother(x.shape[2], sigma).T


@cache
def _smoother(side: int, sigma: float) -> torch.Tensor:
    """(side, side): each row the weights of one blurred pixel."""
    return torch.from_numpy(gaussian_filter1d(np.eye(side), sigma, axis=0, mode="nearest").astype(np.float32))


def tangents(x: torch.Tensor) -> torch.Tensor:
    """(b, 5, h·w): each picture and its change under a shift down, right, a turn and a scaling, without their means."""
    y, across = _middle(x)
    down, right = torch.gradient(x, dim=(1, 2))
    rows = torch.stack([x, down, right, down * across - right * y, down * y + right * across], dim=1).flatten(2)
    return rows - rows.mean(dim=2, keepdim=True)


def solver(rows: torch.Tensor) -> torch.Tensor:
    """Tangents (b, 5, h·w) → their pseudo-inverse, (b, 5, h·w): its products with a picture are the fit's weights."""
    scale = rows.norm(dim=2, keepdim=True).clamp_min(1e-6)
    rows = rows / scale
    gram = rows @ rows.transpose(1, 2) + 1e-5 * torch.eye(5)
    return torch.linalg.solve(gram, rows) / scale


def left_over(rows: torch.Tensor, inverse: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Tangent distance (Simard et al. 1993): 1 - r² of other pictures (b, k, h·w) fitted by tangents, (b, k)."""
    others = others - others.mean(dim=2, keepdim=True)
    explained = ((others @ inverse.transpose(1, 2)) * (others @ rows.transpose(1, 2))).sum(dim=2)
    return 1 - explained / (others * others).sum(dim=2).clamp_min(1e-9)


def register(inverse: torch.Tensor, moving: torch.Tensor, moves: torch.Tensor, steps: int) -> torch.Tensor:
    """The moves that lay moving pictures on those whose solver is given, improved by so many steps.

    The moved picture is fitted by the still one's tangents; what the fit says it still has to go, it goes.
    """
    for _ in range(steps):
        weights = (inverse @ move(moving, moves).flatten(1)[:, :, None])[:, :, 0]
        gain = weights[:, :1]
        gain = torch.where(gain.abs() < 0.1, 0.1, gain)
        most = STEP * torch.tensor([moving.shape[1], moving.shape[2], 1.0, 1.0])
        moves = moves - torch.minimum(torch.maximum(weights[:, 1:] / gain, -most), most)
    return moves


def move(x: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Pictures moved, bilinear, borders repeated."""
    y, across = _middle(x)
    down, right, turn, scale = (moves[:, k, None, None] for k in range(4))
    places = torch.stack([2 * (across + right - turn * y + scale * across) / (x.shape[2] - 1),
                          2 * (y + down + turn * across + scale * y) / (x.shape[1] - 1)], dim=-1)
    return functional.grid_sample(x[:, None], places, padding_mode="border", align_corners=True)[:, 0]


def alike(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Correlation of two pictures, (b,)."""
    x, y = x.flatten(1), y.flatten(1)
    x, y = x - x.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True)
    return (x * y).sum(dim=1) / (x.norm(dim=1) * y.norm(dim=1)).clamp_min(1e-9)


def alike_everywhere(x: torch.Tensor, y: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """How alike all but the WORST parts of two pictures are, (b,): correlations of PATCHes that lie `inside` (b, h, w).

    0 where no patch does.
    """
    mean = _patches(torch.stack([x, y, x * x, y * y, x * y, inside.float()], dim=1))
    mx, my, xx, yy, xy, share = mean.unbind(1)
    r = (xy - mx * my) / ((xx - mx**2) * (yy - my**2)).clamp_min(1e-12).sqrt()
    r = torch.where(share > 0.9, r, torch.nan).flatten(1)
    return torch.nanquantile(r, WORST, dim=1).nan_to_num(0.0)


def _patches(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, PATCH, stride=PATCH // 2)


def _middle(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(h, 1) and (1, w): how far pixels lie from the middle."""
    height, width = x.shape[1:]
    return torch.arange(height)[:, None] - (height - 1) / 2, torch.arange(width)[None] - (width - 1) / 2
