"""Interpolation of position embeddings to another grid of patches, as each library does it."""

from collections.abc import Sequence
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


def stated_grid(size: Sequence[int] | None, side: int, count: int, source: str) -> tuple[int, int] | None:
    """The grid of `count` positions, by the image `size` of a configuration and the patches' `side`; None if unknown.

    timm's size may be another than that of the positions, and the class token's may not be among them. UserError, with
    both numbers, for another library's size that does not fit.
    """
    if size is None:
        return None
    rows, columns = size[0] // side, size[1] // side
    if rows * columns == count - 1 or (source == "timm" and rows * columns == count):
        return rows, columns
    if source == "timm":
        return None
    raise UserError(f"the configuration says images of {size[0]}x{size[1]}, which are {rows * columns} patches of "
                    f"{side}x{side}, and the file has positions for {count - 1}")


def with_class_row(positions: Tensor, grid: tuple[int, int] | None, wanted: tuple[int, int], alone: bool = False
                   ) -> tuple[Tensor, tuple[int, int]]:
    """(E_pos (1, N + 1, D), its grid), from positions of the class token and N patches, or of the patches alone.

    The latter, as DeiT III and FlexiViT have them, get a row of zeros for the class token. `grid` is what the source
    says, if it does. Else N is a square, or that of the `wanted` grid; 144 positions can be 1 + 13x11 or 12x12, so
    the patches are taken to be `alone` only if the caller allows it. UserError if N is of no grid.
    """
    count = positions.shape[1]
    counts = (count - 1, count) if alone or grid else (count - 1,)
    grid = grid or next((found for patches in counts for found in ((round(patches**0.5),) * 2, wanted)
                         if found[0] * found[1] == patches), None)
    if grid is None:
        side = round(count**0.5)
        known = f"; the {count} may be a grid of {side}x{side} without one of the class token" * is_square(count)
        raise UserError(f"the number of positions, {count - 1}, is not a square number, and the grid is not given"
                        f"{known}: a config.json beside the file says it")
    if grid[0] * grid[1] == count:
        positions = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return positions, grid


def is_square(count: int) -> bool:
    """Whether a number is a square, as that of the patches of a square image is."""
    return round(count**0.5) ** 2 == count
