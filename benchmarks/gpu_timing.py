"""What the GPU benchmarks share: sizes, timing by CUDA events, a table on disk."""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.timing import summarise, synchronise, table
from functions.runtime.device import resolve_precision
from models import VARIANTS, ViTConfig


class Sizes(NamedTuple):
    """What is measured: a name in VARIANTS, images per batch, pixels per side, precision, torch.compile's backend."""

    model: str
    batch: int
    pixels: int
    precision: str
    backend: str
    quick: bool

    def config(self, **changes) -> ViTConfig:
        """The network, with four classes."""
        layers = {"num_layers": 2} if self.quick else {}
        return replace(VARIANTS[self.model], num_classes=4, image_size=self.pixels, **layers | changes)


def choose_sizes(quick: bool, device: torch.device) -> Sizes:
    """ViT-B/16 at 224 with 256 images per batch; tiny sizes for `quick`, which run on a CPU."""
    precision = resolve_precision("auto", device)
    if quick:
        return Sizes("vit_ti_16", 2, 32, precision, "eager", True)
    return Sizes("vit_b_16", 256, 224, precision, "inductor", False)


def median_seconds(work: Callable[[], object], device: torch.device, rounds: int = 20, warmup: int = 5) -> float:
    """Median seconds of a call: between CUDA events, so that the host's own time between calls is not counted.

    On a CPU by the clock.
    """
    for _ in range(warmup):
        work()
    synchronise(device)
    if device.type != "cuda":
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
        return summarise(seconds).median
    events = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    synchronise(device)
    pairs = zip(events, events[1:], strict=False)
    return summarise([start.elapsed_time(end) / 1e3 for start, end in pairs]).median


class TableFile:
    """A Markdown table in a file that is complete after every row, and printed row by row."""

    def __init__(self, file: Path, *head: str):
        self.file = file
        self._write(table(head, []), "w")

    def add(self, *row: object) -> None:
        self._write("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |")

    def note(self, text: str) -> None:
        """A paragraph below the table; no row can follow."""
        self._write(f"\n{text}")

    def add_failure(self, name: str, error: Exception) -> None:
        """A row that holds an error's first line; its traceback is printed."""
        traceback.print_exception(error)
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        self.add(name, "FAILED", f"{type(error).__name__}: {reason}")

    def _write(self, text: str, mode: str = "a") -> None:
        with self.file.open(mode, encoding="utf-8") as stream:
            stream.write(text + "\n")
        print(text, flush=True)
