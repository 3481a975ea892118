"""Reads an image file of any Pillow mode and bit depth as 8-bit gray or RGB.

Depth rule. Pillow's `convert("L")` clips a 16-bit scan at 255, which turns it white (Pillow issues 2574 and 3159). Here
an image of more than 8 bits (`deep.py`) is scaled linearly by its own minimum and maximum: round(255 (x - min) / (max -
min)); a constant image becomes 0. Grey values of two such images are comparable in order only. A PNG file with a text
WHITE_LEVEL, as tools/prepare_data.py writes it, is scaled by that instead: slices of a volume keep their common scale.
A checkpoint stores the rule as `DEPTH_RULE`.

Transparency is composited on black, colour becomes gray by ITU-R 601 luma, and the EXIF orientation is applied.

Size rule. An image of more than MAX_PIXELS is reduced by an integer factor, as the mean of square blocks, strip by
strip: time is linear in its pixels, and no second image of its size is allocated.
"""

import ctypes
import math
import os
import re
import threading
import warnings
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from data_setup.images.deep import DeepImage, deep_image
from functions.runtime.errors import UserError, printable

WHITE_LEVEL = "WhiteLevel"      # of a PNG file: the value that becomes 255; black is 0
DEPTH_RULE = ("deeper than 8 bits: round(255 * (x - min) / (max - min)), min and max of each image; of a PNG file with "
              f"{WHITE_LEVEL}, 0 and that")

# Pillow's names of the formats that are read. No other decoder is tried, whatever a file contains: some start programs
# (EPS: Ghostscript). TGA comes last, for its files have no signature.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM", "TGA")
MAX_PIXELS = 2**24         # 16.8 million, 4096 x 4096: ten times the largest MR slice
LARGE = 2**22               # pixels, above which only one image is decoded at a time
STRIP = 2**20               # pixels reduced at once
SIDE = 512                  # pixels: the longest side of an image that is compared with others
_large = threading.Lock()
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)     # large images are reduced here
# A damaged image is one line with its path; Pillow's own warnings about it name no file.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def _silence_libtiff() -> None:
    """Stops libtiff, inside Pillow, from writing its own messages, which name no file, to standard error."""
    library = ctypes.CDLL(Image.core.__file__)             # symbols of its dependencies are found too
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if set_handler := getattr(library, name, None):    # None if this Pillow was built with hidden symbols
            set_handler.restype = ctypes.c_void_p
            set_handler(None)


_silence_libtiff()


def open_image(path: str | Path) -> Image.Image:
    """The file as a Pillow image, not yet decoded; only FORMATS are recognised."""
    return Image.open(path, formats=FORMATS)


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """Reads one image file as uint8 (H, W, channels), channels 1 (luma) or 3 (RGB).

    Raises UserError, one line with the path, for a file that is empty, truncated, not an image, a decompression bomb,
    of several frames, or not finite.
    """
    if channels not in (1, 3):
        raise UserError(f"an image has 1 or 3 channels, not {channels}")
    with ExitStack() as stack:
        return _to_uint8(_decode(path, stack), channels, path)


def read_gray_and_rgb(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """One image file as uint8 (H, W, 1) and (H, W, 3), decoded once; errors as in `read_image`."""
    with ExitStack() as stack:
        decoded = _decode(path, stack)
        return _to_uint8(decoded, 1, path), _to_uint8(decoded, 3, path)


def read_gray(path: str | Path, side: int = SIDE) -> np.ndarray:
    """Read one image file as uint8 (H, W), reduced so that its longest side has at most `side` pixels."""
    return reduce_to(read_image(path, 1)[:, :, 0], side)


def reduce_to(image: np.ndarray, side: int) -> np.ndarray:
    """(H, W) or (H, W, C) uint8, reduced by the smallest integer factor that gives at most `side` pixels per side."""
    factor = math.ceil(max(image.shape[:2]) / side)
    return image if factor == 1 else np.rint(_block_means(image, factor)).astype(np.uint8)


@dataclass(frozen=True)
class _DecodedImage:
    """A decoded file: Pillow's image, its values if they have more than 8 bits, its EXIF orientation (1 to 8)."""

    image: Image.Image
    deep: DeepImage | None
    orientation: int


def _decode(path: str | Path, stack: ExitStack) -> _DecodedImage:
    """Opens and decodes a file; UserError, one line with path and reason; `stack` then holds the lock of a large image.
    """
    image = None
    try:
        if os.path.getsize(path) == 0:
            raise UserError("empty file (0 bytes)" if os.path.isfile(path) else "not a regular file")
        with open_image(path) as image:
            if image.width * image.height > LARGE:
                stack.enter_context(_large)
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise UserError(f"{frames} frames in one file; one slice per file is required")
            deep = deep_image(image, lambda: open_image(path))
            image.load()
            if image.format == "PNG":
                _check_png(path)
            return _DecodedImage(image, deep, image.getexif().get(0x0112, 1))
    except MemoryError:
        if image is not None and image.width * image.height > LARGE:
            raise
        raise UserError(f"{path}: decoding needs more memory than its size implies; probably damaged") from None
    except Exception as error:      # Pillow's decoders raise OSError, SyntaxError, struct.error, KeyError, ...
        raise UserError(f"{path}: {_reason(error)}") from error


def _to_uint8(decoded: _DecodedImage, channels: int, path: str | Path) -> np.ndarray:
    """The pixels, upright: uint8 (H, W, channels)."""
    pixels = _read_pixels(decoded, channels)                            # (H, W, channels), or (H, W, 1) of deep gray
    if decoded.deep:
        pixels = np.repeat(_scale_depth(pixels, path, _white_level(decoded.image)), channels // pixels.shape[2], axis=2)
    return np.ascontiguousarray(_upright(pixels, decoded.orientation))


def _check_png(path: str | Path) -> None:
    """UserError for a checksum mismatch of a critical chunk; Pillow does not check those of pixels (IDAT)."""
    content = Path(path).read_bytes()
    place = 8
    while place + 12 <= len(content):
        length, kind = int.from_bytes(content[place:place + 4], "big"), content[place + 4:place + 8]
        end = place + 8 + length
        critical = kind[:1].isupper()
        if critical and zlib.crc32(content[place + 4:end]) != int.from_bytes(content[end:end + 4], "big"):
            raise UserError(f"damaged: checksum mismatch in its chunk {printable(kind.decode('latin-1'))}")
        if kind == b"IEND":
            return
        place = end + 4


def _reason(error: Exception) -> str:
    """The error in one line, without the path."""
    if isinstance(error, UnidentifiedImageError):
        return "unsupported image format, or damaged header"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _read_pixels(decoded: _DecodedImage, channels: int) -> np.ndarray:
    """The pixels, uint8 or of high bit depth, reduced to at most MAX_PIXELS."""
    width, height = decoded.image.size
    factor = math.ceil(math.sqrt(width * height / MAX_PIXELS))
    if factor == 1:
        return _rows(decoded, channels, 0, height)
    step = max(1, STRIP // (width * factor)) * factor
    strips = (_rows(decoded, channels, top, min(top + step, height)) for top in range(0, height, step))
    means = np.concatenate([_block_means(strip, factor) for strip in strips])
    return means if decoded.deep else np.rint(means).astype(np.uint8)


def _rows(decoded: _DecodedImage, channels: int, top: int, bottom: int) -> np.ndarray:
    """Rows top to bottom: uint8 (h, W, channels), or float (h, W, 1 or channels) of an image of high bit depth."""
    if decoded.deep:
        return decoded.deep.rows(top, bottom, channels)
    image = decoded.image
    if bottom - top < image.height:
        image = image.crop((0, top, image.width, bottom))
    flat = _flatten(image).convert("L" if channels == 1 else "RGB")
    return np.array(flat).reshape(flat.height, flat.width, channels)


def _block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks of (H, W, ...), float; the last row and column of blocks may be smaller."""
    rows, columns = (np.arange(0, side, factor) for side in image.shape[:2])
    kind = np.uint32 if image.dtype == np.uint8 else float
    sums = np.add.reduceat(np.add.reduceat(image, rows, axis=0, dtype=kind), columns, axis=1)
    counts = np.outer(np.diff([*rows, image.shape[0]]), np.diff([*columns, image.shape[1]]))
    return sums / counts.reshape(counts.shape + (1,) * (image.ndim - 2))


def _white_level(image: Image.Image) -> float | None:
    """The number in the text WHITE_LEVEL of a PNG file; None without one."""
    text = image.info.get(WHITE_LEVEL) if image.format == "PNG" else None
    return float(text) if isinstance(text, str) and re.fullmatch("[1-9][0-9]{0,4}", text) else None


def _scale_depth(deep: np.ndarray, path: str | Path, white: float | None) -> np.ndarray:
    """round(255 (x - min) / (max - min)) as uint8, 0 where max = min, or round(255 x / white), at most 255.

    UserError for NaN and infinity.
    """
    bad = np.count_nonzero(~np.isfinite(deep))
    if bad:
        raise UserError(f"{path}: {bad} of {deep.size} pixels are NaN or infinite")
    if white:
        return np.rint(np.minimum(deep / white, 1) * 255).astype(np.uint8)
    low, high = deep.min(), deep.max()
    if high == low:
        return np.zeros(deep.shape, np.uint8)
    return np.rint((deep - low) * 255 / (high - low)).astype(np.uint8)


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) rotated and mirrored according to EXIF orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image


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
