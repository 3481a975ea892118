"""Folders of slices for the benchmarks: some of a real set, or as many generated ones as wanted."""

from pathlib import Path

import numpy as np

from data_setup.listing.image_files import find_image_files
from data_setup.phantom.generate import draw_slices, encode_png
from data_setup.phantom.people import CLASSES


def some_slices(data: Path | None, count: int, out: Path) -> Path:
    """OUT/train/<class>/…: `count` slices spread evenly over DATA/train, as links; without data generated ones."""
    if data is None:
        return generate(out, count)
    files = [(folder.name, file) for folder in sorted((data / "train").iterdir()) if folder.is_dir()
             for file in find_image_files(folder)[0]]
    for row in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int):
        name, file = files[row]
        link = out / "train" / name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.resolve())
    return out


def generate(out: Path, count: int, seed: int = 0) -> Path:
    """OUT/train/<class>/*.png: `count` (at least 12) gray slices of 96x80, 20 per patient if that leaves 12 patients.

    Drawing a phantom takes longer than reading a file: 20 patients are drawn, and the other patients are noisy copies
    of them. For timing only; scores on these images are meaningless.
    """
    generator, stack = np.random.default_rng(seed), min(20, count // 12)
    drawn = draw_slices(20, stack, seed, confounded=False)
    for name in CLASSES:
        (out / "train" / name).mkdir(parents=True)
    for number in range(count):
        person, z = divmod(number, stack)
        source = drawn[(person % 20) * stack + z]
        noise = generator.integers(-3, 4, source.pixels.shape, dtype=np.int16)
        pixels = np.clip(source.pixels + noise * (source.pixels > 0), 0, 255).astype(np.uint8)
        file = out / "train" / CLASSES[person % len(CLASSES)] / f"sub-{person:05d}_ses-1_z{z:02d}.png"
        file.write_bytes(encode_png(pixels))
    return out
