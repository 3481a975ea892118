"""The whole training loop on a GPU: train.py on generated slices, with the time of each part of an epoch.

    python -m benchmarks.gpu_loop eager|compile --out FILE [--quick]

6,000 generated slices, ViT-B/16 at 224, batch 256, five epochs, eight steps of the first one profiled. The script runs
in this process; only TrainingRun.save_epoch is wrapped, to read an epoch's scores and to time what saving blocks.
"""

import argparse
import contextlib
import json
import os
import runpy
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from unittest import mock

import torch

from benchmarks.flops import training_flops
from benchmarks.gpu_timing import TableFile, choose_sizes
from benchmarks.slices import generate
from functions.runtime.device import pick_device
from functions.training.throughput import measured_peak
from functions.training.training_run import TrainingRun

ROOT = Path(__file__).resolve().parent.parent
HEAD = ("epoch", "training images/s", "MFU", "data wait", "training, s", "scoring val and test, s",
        "loop blocked by saving, s", "epoch, s")


@contextlib.contextmanager
def epochs_recorded(out: TableFile, flops: float, peak: float) -> Iterator[dict[str, float]]:
    """Adds a row of HEAD whenever an epoch is saved; yields {"first": when training began, "last": last save's end}."""
    save, moments = TrainingRun.save_epoch, {}

    def timed_save(run: TrainingRun, epoch: int, scores: dict, *rest) -> None:
        began = time.perf_counter()
        save(run, epoch, scores, *rest)
        ended = time.perf_counter()
        train = scores["train"]
        scored = sum(result.seconds for split, result in scores.items() if split != "train")
        start = moments.setdefault("first", began - train.seconds - scored)
        speed = train.images_per_second
        out.add(epoch, f"{speed:.0f}", f"{speed * flops / peak:.1%}", f"{train.data_wait / train.seconds:.1%}",
                f"{train.seconds:.2f}", f"{scored:.2f}", f"{ended - began:.2f}",
                f"{ended - moments.get('last', start):.2f}")
        moments["last"] = ended

    with mock.patch.object(TrainingRun, "save_epoch", timed_save):
        yield moments


def run_loop(how: str, quick: bool, out: TableFile) -> None:
    """Generates slices in a temporary folder, trains on them and reads what the run left there."""
    device = pick_device()
    sizes = choose_sizes(quick, device)
    config = sizes.config()
    flags = ["--model", sizes.model, "--image_size", str(sizes.pixels), "--num_transformer_layer",
             str(config.num_layers), "--batch_size", str(sizes.batch), "--epochs", "2" if quick else "5", "--profile",
             "2" if quick else "8", *(["--compile"] if how == "compile" else [])]
    peak = measured_peak(device, sizes.precision)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        generate(Path("slices"), 24 if quick else 6000)
        began = time.perf_counter()
        command = ["train.py", "--train_dir", "slices/train", *flags]
        with epochs_recorded(out, training_flops(config), peak) as moments, mock.patch.object(sys, "argv", command):
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        ended = time.perf_counter()
        run = Path("runs/ViTModel")
        saving = json.loads((run / "run.json").read_text(encoding="utf-8"))["seconds"]["saving"]
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else "not measured"
        out.note(f"`{' '.join(command)}`: start-up {moments['first'] - began:.1f} s, after the last epoch "
                 f"{ended - moments['last']:.1f} s, waited for checkpoints {saving:.1f} s in all, checkpoint "
                 f"{os.path.getsize(run / 'last.pt') / 2**20:.0f} MiB, "
                 f"peak memory {memory}. MFU is the share of a matrix product's {peak / 1e12:.4g} TFLOP/s.")
        out.note(f"```\n{(run / 'profile.txt').read_text(encoding='utf-8').strip()}\n```")


def main(arguments: list[str] | None = None) -> None:
    """One run, eager or compiled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_loop", description=__doc__.splitlines()[0])
    parser.add_argument("how", choices=["eager", "compile"])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, also on a CPU")
    options = parser.parse_args(arguments)
    run_loop(options.how, options.quick, TableFile(options.out.absolute(), *HEAD))


if __name__ == "__main__":
    main()
