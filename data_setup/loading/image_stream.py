"""Reads images of any number in batches and in bounded memory; a file that cannot be read is reported, not raised."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_setup.images.read import SIDE, read_gray_and_rgb, reduce_to
from data_setup.images.resize import Frame
from data_setup.loading.dataset import BLANK
from data_setup.resources import available_cores
from functions.runtime.errors import UserError

AHEAD = 2                    # batches that are read while one is used
COLOUR_LEVELS = 24           # difference of a pixel's channels, above which it is coloured: JPEG's errors are smaller
COLOUR_SHARE = 0.02          # share of coloured pixels, above which an image is a colour image


@dataclass(frozen=True)
class ImageBatch:
    """Consecutive files: `pixels` (n, C, H, W) uint8, `grays`, `digests` and `coloured` of the n that could be read.

    `rows` are their positions in `paths`, `errors` {position: reason} of the others. `grays` are reduced gray images;
    a digest is that of the pixels at the model's size, None for a blank image.
    """

    paths: list[str]
    rows: list[int]
    pixels: Tensor
    grays: list[np.ndarray]
    digests: list[str | None]
    coloured: list[bool]
    errors: dict[int, str]


def stream_images(paths: Sequence[str], frame: Frame, channels: int, batch_size: int) -> Iterator[ImageBatch]:
    """Yields all files in order; at most AHEAD + 1 batches are in memory."""
    waiting: deque[tuple[list[str], list[Future]]] = deque()
    pool = ThreadPoolExecutor(available_cores())
    try:
        for start in range(0, len(paths), batch_size):
            part = list(paths[start:start + batch_size])
            waiting.append((part, [pool.submit(_read, path, frame, channels) for path in part]))
            if len(waiting) > AHEAD:
                yield _collect(*waiting.popleft(), frame, channels)
        while waiting:
            yield _collect(*waiting.popleft(), frame, channels)
    finally:
        pool.shutdown(cancel_futures=True)


def is_coloured(rgb: np.ndarray) -> bool:
    """Whether more than COLOUR_SHARE of the pixels of an image (H, W, 3) differ between channels by COLOUR_LEVELS."""
    values = rgb.astype(np.int16)
    spread = values.max(axis=2) - values.min(axis=2)
    return bool((spread > COLOUR_LEVELS).mean() > COLOUR_SHARE)


@dataclass(frozen=True)
class _Image:
    pixels: np.ndarray       # (C, H, W) uint8
    gray: np.ndarray
    digest: str | None
    coloured: bool


def _read(path: str, frame: Frame, channels: int) -> _Image | str:
    """One image, or the reason why it cannot be read, without its path."""
    try:
        gray, rgb = read_gray_and_rgb(path)
        pixels = np.ascontiguousarray(frame(gray if channels == 1 else rgb).transpose(2, 0, 1))
    except (UserError, OSError, MemoryError) as error:
        return (str(error) or type(error).__name__).removeprefix(f"{path}: ")
    return _Image(pixels, reduce_to(gray[:, :, 0], SIDE), content_digest(pixels), is_coloured(rgb))


def content_digest(pixels: np.ndarray) -> str | None:
    """The digest of an image (C, H, W) at the model's size, as in a checkpoint's `seen`; None for a blank image."""
    if pixels.reshape(len(pixels), -1).var(axis=1).max() <= BLANK:
        return None
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()


def _collect(paths: list[str], futures: list[Future], frame: Frame, channels: int) -> ImageBatch:
    results = [future.result() for future in futures]
    errors = {row: result for row, result in enumerate(results) if isinstance(result, str)}
    images = [result for result in results if not isinstance(result, str)]
    pixels = np.stack([image.pixels for image in images]) if images else np.zeros((0, channels, *frame.size), np.uint8)
    return ImageBatch(paths, [row for row in range(len(paths)) if row not in errors], torch.from_numpy(pixels),
                      [image.gray for image in images], [image.digest for image in images],
                      [image.coloured for image in images], errors)
