"""Interpolation of position embeddings to another grid of patches, as each library does it."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from functions.runtime.errors import UserError

MODES: dict[str, dict[str, Any]] = {
    "torchvision": {"mode": "bicubic", "align_corners": True},                      # interpolate_embeddings
    "timm": {"mode": "bicubic", "align_corners": False, "antialias": True},         # resample_abs_pos_embed
    "huggingface": {"mode": "bicubic", "align_corners": False},                     # interpolate_pos_encoding
    "dinov2": {"mode": "bicubic", "align_corners": False},        # by a factor, see OFFSET; facebookresearch/dinov2
    "jax": {"mode": "bilinear", "align_corners": True},     # scipy.ndimage.zoom(order=1), vit_jax/checkpoint.py
}
OFFSET = 0.1         # dinov2/models/vision_transformer.py resizes by (new side + 0.1) / (old side), not to the new side


def resize_positions(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], mode: str) -> Tensor:
    """E_pos (1, N + 1, D) of one grid (rows, columns) → of another; the class token's row is kept (§3.2).

    `mode` is the library to follow, a key of MODES. UserError if N does not match the grid.
    """
    rows, columns = old_grid
    if positions.shape[1] != rows * columns + 1:
        raise UserError(f"{positions.shape[1] - 1} positions are not a grid of {rows}x{columns}")
    if old_grid == new_grid:
        return positions
    of_class, of_patches = positions[:, :1], positions[:, 1:]
    grid = of_patches.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)             # (1, D, rows, columns)
    to: dict[str, Any] = {"size": new_grid} if mode != "dinov2" else {"scale_factor": (
        (new_grid[0] + OFFSET) / rows, (new_grid[1] + OFFSET) / columns)}
    grid = F.interpolate(grid.float(), **to, **MODES[mode]).to(positions.dtype)
    return torch.cat([of_class, grid.flatten(2).transpose(1, 2)], dim=1)
