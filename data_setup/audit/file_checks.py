"""File checks: every file is read once for all parts of the audit, and unusual files are reported."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from data_setup.images.read import SIDE, open_image, read_image, reduce_to
from data_setup.images.resize import Frame
from data_setup.resources import available_cores
from data_setup.similarity.copies import digest_of
from data_setup.similarity.neighbours import MANY
from functions.runtime.errors import UserError


@dataclass(frozen=True)
class Files:
    """Per file, in order: gray image (H, W), digest, size; None and "" where it cannot be read.

    `unreadable` and `unusual` give the reason, by row.
    """

    images: list[np.ndarray | None]
    digests: list[str]
    sizes: list[tuple[int, int] | None]
    unreadable: dict[int, str]
    unusual: dict[int, str]


def read_files(paths: list[str], progress: Callable = lambda work, total: work) -> Files:
    """Reads every file once, on all cores. Images are reduced to SIDE pixels per side, or to 104x88 if there are more
    than MANY.
    """
    n, unreadable, unusual = len(paths), {}, {}
    images, digests, sizes = [None] * n, [""] * n, [None] * n
    small = Frame((104, 88))

    def read_one(row: int) -> None:
        try:
            gray = read_image(paths[row], 1)
        except UserError as error:
            unreadable[row] = str(error)
            return
        with open_image(paths[row]) as image:
            mode = image.mode
        digests[row], sizes[row] = digest_of(gray), gray.shape[:2]
        images[row] = (small(gray) if n > MANY else reduce_to(gray, SIDE))[:, :, 0]
        if gray.max() == gray.min():
            unusual[row] = "all black" if gray.max() == 0 else "of one colour"
        elif mode not in ("L", "RGB"):
            unusual[row] = f"of mode {mode}"

    with ThreadPoolExecutor(available_cores()) as pool:
        for _ in progress(pool.map(read_one, range(n)), n):
            pass
    return Files(images, digests, sizes, dict(sorted(unreadable.items())), dict(sorted(unusual.items())))
