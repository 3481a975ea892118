"""Detection rate of altered copies among nearly equal neighbouring slices: benchmarks/dense_copies.py [--seeds N ...]

Phantoms of 24 slices per patient, and copies of every seventh slice, with six alterations applied cyclically. Prints a
row for each alteration: copies detected of all; then the number of false positives.
"""

import argparse
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                    # run as a file, from anywhere

DEPTH, EVERY = 24, 7                            # 7: each alteration meets several levels of the brain


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC))


def compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def smaller(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape
    return np.asarray(Image.fromarray(picture).resize((width * 3 // 4, height * 3 // 4), Image.Resampling.BICUBIC))


WAYS = {
    "rotated by 3°, shifted, 12 % brighter": lambda p: np.clip(
        np.roll(turned(p, 3), (1, -1), (0, 1)) * 1.12, 0, 255).astype(np.uint8),
    "mirrored, rotated by 2°": lambda p: turned(p[:, ::-1].copy(), 2),
    "JPEG 85": lambda p: compressed(p, 85),
    "JPEG 60": lambda p: compressed(p, 60),
    "three quarters of the size": smaller,
    "rotated by 15°": lambda p: turned(p, 15),
}


def main() -> None:
    """A table with a row for each alteration."""
    from data_setup.phantom.generate import draw_slices
    from data_setup.similarity.copies import find_copies

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--people", type=int, default=20)
    arguments = parser.parse_args()
    named, planted, wrong, ways = Counter(), Counter(), 0, list(WAYS)
    for seed in arguments.seeds:
        pictures = [one.pixels for one in draw_slices(arguments.people, DEPTH, seed, confounded=False)]
        chosen = range(seed % EVERY, len(pictures), EVERY)
        true = {(row, len(pictures) + k): ways[k % len(ways)] for k, row in enumerate(chosen)}
        found = find_copies([*pictures, *(WAYS[way](pictures[row]) for (row, _), way in true.items())])
        planted.update(true.values())
        named.update(true[copy.first, copy.second] for copy in found if (copy.first, copy.second) in true)
        wrong += sum((copy.first, copy.second) not in true for copy in found)
    print(f"{arguments.people} patients, {DEPTH} slices each, seeds {', '.join(map(str, arguments.seeds))}\n\n"
          "| copies | detected |\n|---|---|")
    for way in ways:
        print(f"| {way} | {named[way]} of {planted[way]} |")
    print(f"| all | {sum(named.values())} of {sum(planted.values())} |\n\nfalse positives: {wrong} pairs")


if __name__ == "__main__":
    main()
