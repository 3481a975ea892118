"""Images with more than 8 bits per channel, at full precision, where Pillow clips, wraps or keeps the high byte.

| file | Pillow's mode | here |
|---|---|---|
| 16-bit gray, 32-bit signed, float | I;16, I, F | as it is |
| unsigned 32-bit TIFF | I, from 2^31 on negative | read as unsigned |
| signed 8-bit TIFF | L, negative values above the positive ones | read as signed |
| 16-bit gray with alpha, PNG | RGBA, the high bytes | both bytes |
| 16-bit RGB and RGBA, PNG and TIFF | RGB, RGBA, the high bytes | both bytes |

Of 16-bit CMYK, of premultiplied alpha, and of JPEG 2000 in colour the high byte is all that Pillow gives.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339        # TIFF tags
UNSIGNED, SIGNED = 1, 2                                 # values of SAMPLE_FORMAT
LUMA = (299, 587, 114)                                  # thousandths, ITU-R 601: of gray exactly its value


@dataclass(frozen=True)
class DeepImage:
    """The values of a file deeper than 8 bits, from one or two decodings of it."""

    image: Image.Image
    kind: str                               # gray, gray+alpha, colour
    dtype: type | None = None               # what the bits of `image` mean, where Pillow's mode does not say
    negative: bool = False                  # whether 0 is white
    low: Image.Image | None = None          # of colour: the low bytes

    def rows(self, top: int, bottom: int, channels: int) -> np.ndarray:
        """Rows top to bottom as float64, (h, W, 1) of gray, (h, W, channels) of colour, alpha composited on black."""
        values = self._values(self.image, top, bottom)
        if self.kind == "gray":
            values = values.view(self.dtype) if self.dtype else values
            values = values.astype(np.float64)
            return (-values if self.negative else values)[:, :, None]
        if self.kind == "gray+alpha":
            pairs = values.view(np.uint32)
            return ((pairs >> 16) * ((pairs & 0xFFFF) / 65535.0))[:, :, None]
        deep = values * 256.0 + self._values(self.low, top, bottom)
        colour = deep[:, :, :3] * (deep[:, :, 3:] / 65535 if deep.shape[2] == 4 else 1)
        return colour if channels == 3 else (colour @ np.array(LUMA, float) / 1000)[:, :, None]

    @staticmethod
    def _values(image: Image.Image, top: int, bottom: int) -> np.ndarray:
        return np.array(image.crop((0, top, image.width, bottom)) if bottom - top < image.height else image)


def deep_image(image: Image.Image, again: Callable[[], Image.Image]) -> DeepImage | None:
    """The values of an opened file that is not decoded yet, or None if they are unsigned 8-bit ones.

    `again` opens the file a second time. 0 is white in a TIFF of PhotometricInterpretation 0; Pillow inverts such
    8-bit files, deeper ones it leaves as they are.
    """
    tags = getattr(image, "tag_v2", {})
    bits, sample = (np.atleast_1d(tags.get(tag, 1))[0] for tag in (BITS, SAMPLE_FORMAT))
    negative = tags.get(PHOTOMETRIC) == 0
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        unsigned = image.format == "TIFF" and image.mode == "I" and (bits, sample) == (32, UNSIGNED)
        return DeepImage(image, "gray", np.uint32 if unsigned else None, negative)
    if image.format == "TIFF" and image.mode == "L" and (bits, sample) == (8, SIGNED):
        return DeepImage(image, "gray", np.int8, negative)
    raw = _raw_mode(image)
    if raw == "LA;16B":                     # four bytes per pixel: gray and alpha as one number
        image._mode = "I"
        _set_raw_mode(image, "I;32B")
        return DeepImage(image, "gray+alpha")
    if match := re.fullmatch(r"(RGBA?;16)([BLN])", raw):
        low = again()
        swapped = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[match[2]]
        _set_raw_mode(low, match[1] + swapped)
        low.load()
        return DeepImage(image, "colour", low=low)
    return None


def _raw_mode(image: Image.Image) -> str:
    """The raw mode of the decoder ("RGB;16B": big-endian 16-bit RGB); "" if it has none."""
    arguments = image.tile[0].args if image.tile else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""


def _set_raw_mode(image: Image.Image, new: str) -> None:
    """Sets the raw mode of the decoder: one of swapped byte order keeps the low byte."""
    image.tile = [tile._replace(args=(new, *tile.args[1:]) if isinstance(tile.args, tuple) else new)
                  for tile in image.tile]
