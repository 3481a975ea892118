"""Row 6: how cost grows with the number of slices and with the size of images."""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks.flops import training_flops
from benchmarks.jobs import SMALL
from benchmarks.slices import generate
from benchmarks.steps import batch, training_step
from benchmarks.timing import alternate, summarise, table
from data_setup import create_dataloaders
from data_setup.audit.findings import audit, list_data
from functions import engine
from functions.runtime.device import resolve_precision
from functions.training.optimisation import make_optimizer
from models import VARIANTS, ViT

ROOT = Path(__file__).resolve().parent.parent
AUDITED = 10_000     # more slices than this are not audited here


def grow_slices(count: int, device: torch.device) -> dict[str, float]:
    """Seconds for `count` generated slices: start-up (decoding, split, mean and std), a training epoch, the audit."""
    with tempfile.TemporaryDirectory() as folder:
        folder = generate(Path(folder), count)
        began = time.perf_counter()
        data = create_dataloaders(folder / "train", None, 64, image_size=(96, 80), channels=1, device=device)
        started = time.perf_counter()
        model = ViT(replace(SMALL, in_channels=1, num_classes=len(data.class_names))).to(device)
        scores = engine.train_step(model, data.train, nn.CrossEntropyLoss(reduction="none"),
                                   make_optimizer(model, "adamw", 1e-3, 0.1), device,
                                   precision=resolve_precision("auto", device))
        seconds = {"start-up": started - began, "epoch": scores.seconds}
        if count <= AUDITED:
            began = time.perf_counter()
            audit(*list_data(folder))
            seconds["audit"] = time.perf_counter() - began
    return seconds


def start_up() -> str:
    """What every run waits for, as a user sees it: the help, and a whole demo run of one epoch, data made before."""
    with tempfile.TemporaryDirectory() as folder:
        def script(*arguments: str) -> float:
            began = time.perf_counter()
            subprocess.run([sys.executable, ROOT / "train.py", *arguments], check=True, cwd=folder, capture_output=True)
            return time.perf_counter() - began

        first, again = (script("--demo", "--epochs", "1") for _ in range(2))
        return table(["train.py", "s"], [["--help", f"{script('--help'):.2f}"],
                                         ["--demo --epochs 1, which makes the phantom", f"{first:.1f}"],
                                         ["--demo --epochs 1, again", f"{again:.1f}"]])


def grow_pixels(model: str, sizes: list[int], count: int, options: Namespace) -> dict[int, float]:
    """Median seconds of a training step of `count` images at each size, sizes alternating."""
    precision = resolve_precision("auto", options.device)
    parties = {}
    for size in sizes:
        config = replace(VARIANTS[model], num_classes=4, image_size=size)
        net = ViT(config).to(options.device)
        images, labels = batch(config, count, options.device)
        parties[size] = partial(training_step, net, make_optimizer(net, "adamw", 1e-4, 0.1), images, labels, precision)
    seconds = alternate(parties, options.rounds, options.device)
    return {size: summarise(times).median for size, times in seconds.items()}


def row_growth(options: Namespace) -> str:
    """Start-up, epoch and audit against the number of slices; the training step against image size; a plot."""
    counts = options.slices or [1_000, 10_000, 100_000]
    model = (options.model or ["vit_ti_16"])[0]
    sizes = options.image_size or [112, 160, 224, 320, 384, 512]
    count = (options.batch_size or [128 if options.device.type == "cuda" else 4])[0]
    slices = {}
    for number in counts:
        slices[number] = grow_slices(number, options.device)
        print(number, slices[number], flush=True)
    pixels = grow_pixels(model, sizes, count, options)
    draw(slices, pixels, model, count).savefig(options.out / "growth.png", dpi=120)
    first = table(["slices", "start-up s", "epoch s", "audit s"],
                  [[f"{n:,}", *(f"{s[what]:.1f}" if what in s else "not run"
                                for what in ("start-up", "epoch", "audit"))] for n, s in slices.items()])
    second = table(["pixels", f"ms a training step of {count}, {model}", "GFLOP an image", "GFLOP/s"], [
        [size, f"{1e3 * s:.0f}", f"{(f := flops(model, size)) / 1e9:.1f}", f"{f * count / s / 1e9:.0f}"]
        for size, s in pixels.items()])
    third = "" if options.quick else f"\n\n{start_up()}"
    return f"{first}\n\n{second}\n\n![How cost grows](growth.png){third}"


def flops(model: str, size: int) -> float:
    return training_flops(replace(VARIANTS[model], num_classes=4, image_size=size))


def draw(slices: dict[int, dict[str, float]], pixels: dict[int, float], model: str, count: int) -> Figure:
    """Two panels, both axes logarithmic: seconds against slices, a step's seconds against pixels beside its FLOP."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for what in ("start-up", "epoch", "audit"):
        known = [n for n in slices if what in slices[n]]
        left.plot(known, [slices[n][what] for n in known], "o-", label=what)
    left.set(xlabel="slices", ylabel="seconds", title="small ViT, 96x80", xscale="log", yscale="log")
    left.legend()
    sizes = sorted(pixels)
    right.plot(sizes, [pixels[size] for size in sizes], "o-", label="measured")
    rate = pixels[sizes[0]] / flops(model, sizes[0])
    right.plot(sizes, [rate * flops(model, size) for size in sizes], ":", label="as the FLOP grow")
    right.set(xlabel="image side, pixels", ylabel="seconds", title=f"training step, {model}, batch {count}",
              xscale="log", yscale="log")
    right.set_xticks(sizes, map(str, sizes), minor=False)
    right.minorticks_off()
    right.legend()
    return figure
