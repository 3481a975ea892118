"""One file, one array: every Pillow mode and depth as 8-bit gray or RGB, and never silently wrong.

Depth rule. Pillow's `convert("L")` clips a 16-bit scan at 255, which turns it white (Pillow issues 2574 and 3159).
Here an image deeper than 8 bits (16-bit, 32-bit integer, float) is scaled linearly by its own smallest and largest
value: round(255 (x - min) / (max - min)); an image of one value becomes 0. Grey values of two such images are
therefore comparable in order, not in size. 16-bit colour files are the exception: Pillow decodes them by their high
byte, which neither clips nor stretches. `DEPTH_RULE` says this in a checkpoint.

Transparency is composited on black, colour becomes gray by ITU-R 601 luma, the EXIF orientation is applied.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from functions.errors import UserError

DEPTH_RULE = "deeper than 8 bits: round(255 * (x - min) / (max - min)), min and max of each image"

IMAGE_SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
                            ".tga", ".tif", ".tiff", ".webp"))


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """Read one image file as uint8 (H, W, channels), channels 1 (luma) or 3 (RGB).

    Raises ValueError, one line with the path, for a file that is empty, truncated, no image, a decompression bomb,
    of several frames, or not finite.
    """
    if channels not in (1, 3):
        raise UserError(f"an image has 1 or 3 channels, not {channels}")
    image, white_is_zero = _decode(path)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = np.asarray(image, dtype=np.float64)                   # (H, W)
        gray = _scale_depth(-deep if white_is_zero else deep, path)
        return np.repeat(gray[:, :, None], channels, axis=2)         # (H, W, channels)
    flat = _flatten(image).convert("L" if channels == 1 else "RGB")
    return np.array(flat).reshape(flat.height, flat.width, channels)


def _decode(path: str | Path) -> tuple[Image.Image, bool]:
    """Open, decode and turn upright: (image, whether 0 is white), or ValueError with path and reason in one line.

    0 is white in a TIFF of PhotometricInterpretation 0 (tag 262); Pillow inverts such 8-bit files, deeper ones it
    leaves as they are.
    """
    try:
        if os.path.getsize(path) == 0:
            raise UserError("empty file (0 bytes)")
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise UserError(f"{frames} frames in one file; give one slice a file")
            image.load()
            white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0
            return ImageOps.exif_transpose(image), white_is_zero
    except Exception as error:      # Pillow's decoders raise OSError, SyntaxError, struct.error, KeyError, ...
        raise UserError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What went wrong, in one line and without the path."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or damaged at its start"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _scale_depth(deep: np.ndarray, path: str | Path) -> np.ndarray:
    """round(255 (x - min) / (max - min)) as uint8, 0 where max = min; ValueError for NaN and infinity."""
    bad = np.count_nonzero(~np.isfinite(deep))
    if bad:
        raise UserError(f"{path}: {bad} of {deep.size} pixels are NaN or infinite")
    low, high = deep.min(), deep.max()
    if high == low:
        return np.zeros(deep.shape, np.uint8)
    return np.rint((deep - low) * 255 / (high - low)).astype(np.uint8)


def _flatten(image: Image.Image) -> Image.Image:
    """An 8-bit image of any mode as L or RGB, transparency composited on black."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode == "LAB":         # Pillow's convert() has no way out of LAB; its colour management has
        from PIL import ImageCms
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    return image.convert("RGB")


def find_image_files(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder, each list sorted by path: (images, others).

    Others are files without an image's ending and all that is hidden (`.DS_Store`, `.ipynb_checkpoints/`). Linked
    folders are followed, every real folder once. Raises ValueError if there is no such folder.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder")
    images, others, seen = [], [], set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in files:
            path = Path(here, name)
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            is_image = path.suffix.lower() in IMAGE_SUFFIXES and not hidden
            (images if is_image else others).append(path)
    return sorted(images, key=Path.as_posix), sorted(others, key=Path.as_posix)
