"""Time and peak memory of audit.py on many slices: benchmarks/audit_scale.py [--slices N ...]

Each set is regenerated in a temporary folder: patients with 32 slices each, 128x112 JPEG files, two fifths in test. A
patient is one of 100 phantom heads, warped by a random smooth field, with its own noise. Prints a row of a table
for each size: wall clock, CPU seconds (user and system), and the largest resident memory of the process, all of
audit.py alone and not of making the files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                    # run as a file, from anywhere

HEADS, DEPTH, SIZE = 100, 32, (128, 112)


def make_set(folder: Path, slices: int) -> None:
    """Writes so many slices into folder/{train,test}/<class>/."""
    import torch

    from data_setup.phantom.generate import draw_slices
    from data_setup.phantom.people import CLASSES
    from data_setup.resources import available_cores

    drawn = draw_slices(min(HEADS, -(-slices // DEPTH)), DEPTH, seed=0, confounded=False)
    heads = [drawn[start:start + DEPTH] for start in range(0, len(drawn), DEPTH)]
    for split in ("train", "test"):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)

    def write(number: int) -> None:
        head = heads[number % len(heads)]
        pictures = bent([one.pixels for one in head], number)
        name = folder / ("test" if number % 5 < 2 else "train") / CLASSES[head[0].label]
        for level in range(min(DEPTH, slices - number * DEPTH)):
            pictures[level].save(name / f"sub-{number + 1:05d}_z{level:02d}.jpg", quality=85)

    with ThreadPoolExecutor(available_cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(write, range(-(-slices // DEPTH))))


def bent(pictures: list, seed: int) -> list:
    """One head's slices (H, W), all bent by the same smooth field, enlarged to SIZE, noise added."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.nn import functional

    generator = torch.Generator().manual_seed(seed)
    field = 0.12 * (torch.rand(1, 2, 5, 4, generator=generator) - 0.5)
    field = functional.interpolate(field, SIZE, mode="bicubic", align_corners=True)[0].permute(1, 2, 0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE[0]), torch.linspace(-1, 1, SIZE[1]), indexing="ij")
    places = (torch.stack([x, y], dim=-1) + field).expand(len(pictures), -1, -1, -1)
    x = functional.grid_sample(torch.from_numpy(np.stack(pictures)).float()[:, None], places, align_corners=True)[:, 0]
    x = x + 3 * torch.randn(x.shape, generator=generator) * (x > 8)
    return [Image.fromarray(picture) for picture in x.clamp(0, 255).byte().numpy()]


def measure(folder: Path, out: Path) -> tuple[float, float, float]:
    """(seconds of wall clock, of CPU, GiB at most) of one audit; its last lines go to stderr if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(ROOT / "audit.py"), str(folder), "--out", str(out)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    print(text[-4000:], file=sys.stderr)
    if process.returncode:
        sys.exit(f"audit.py exited with {process.returncode}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def main() -> None:
    """A table with a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[1000, 5000, 20_000, 100_000])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the sets here, and use those that are here")
    arguments = parser.parse_args()

    from data_setup.resources import available_cores

    print(f"{available_cores()} cores\n")
    print("| slices | patients | wall clock | CPU | memory at most |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for slices in arguments.slices:
            folder = (arguments.keep or Path(temporary)) / f"slices-{slices}"
            if not folder.is_dir():
                make_set(folder, slices)
            seconds, cpu, memory = measure(folder, Path(temporary) / f"audit-{slices}")
            print(f"| {slices:,} | {-(-slices // DEPTH):,} | {seconds:.0f} s | {cpu:.0f} s | {memory:.2f} GiB |",
                  flush=True)


if __name__ == "__main__":
    main()
