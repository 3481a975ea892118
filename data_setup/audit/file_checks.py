"""Files as they are: read once, with everything an audit wants to know of them; and what is unusual about some."""

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
    """Of each file, in order: gray picture (H, W), digest, size; None and "" where it cannot be read.

    `unreadable` and `odd` say why, by row.
    """

    pictures: list[np.ndarray | None]
    digests: list[str]
    sizes: list[tuple[int, int] | None]
    unreadable: dict[int, str]
    odd: dict[int, str]


def read_files(paths: list[str], progress: Callable = lambda work, total: work) -> Files:
    """Reads every file once, on all cores. Pictures are kept at SIDE pixels a side at most, of more than MANY files at
    104x88.
    """
    n, unreadable, odd = len(paths), {}, {}
    pictures, digests, sizes = [None] * n, [""] * n, [None] * n
    small = Frame((104, 88))

    def one(row: int) -> None:
        try:
            gray = read_image(paths[row], 1)
        except UserError as error:
            unreadable[row] = str(error)
            return
        with open_image(paths[row]) as image:
            mode = image.mode
        digests[row], sizes[row] = digest_of(gray), gray.shape[:2]
        pictures[row] = (small(gray) if n > MANY else reduce_to(gray, SIDE))[:, :, 0]
        if gray.max() == gray.min():
            odd[row] = "all black" if gray.max() == 0 else "of one flat colour"
        elif mode not in ("L", "RGB"):
            odd[row] = f"of mode {mode}"

    with ThreadPoolExecutor(available_cores()) as pool:
        for _ in progress(pool.map(one, range(n)), n):
            pass
    return Files(pictures, digests, sizes, dict(sorted(unreadable.items())), dict(sorted(odd.items())))
