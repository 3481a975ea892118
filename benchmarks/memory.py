"""Row 5: peak memory of one optimiser step against batch size, checkpointing and accumulation.

Each case is a process of its own: a process's highest memory can be asked for, not reset.
"""

import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from itertools import product
from pathlib import Path

LIMIT = 16 * 2**30     # bytes: a common card; on a GPU nothing above it can be had


def peak(case: dict) -> float:
    """Peak bytes of two optimiser steps in this process: weights, gradients, AdamW's state, activations."""
    import torch
    from torch import nn

    from functions import engine
    from functions.runtime.device import pick_device, resolve_precision
    from functions.runtime.sharding import checkpoint_activations
    from functions.training.optimisation import make_optimizer
    from models import VARIANTS, ViT

    device = pick_device()
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, LIMIT / total))
    config = replace(VARIANTS[case["model"]], num_classes=4, image_size=case["image_size"])
    with device:
        model = ViT(config)
        images = torch.randn(case["batch"], config.in_channels, *config.image_size)
        labels = torch.zeros(case["batch"], dtype=torch.long)
    optimizer = make_optimizer(model, "adamw", 1e-4, 0.1)
    if case["checkpointing"]:
        checkpoint_activations(model.encoder)
    batches = [(images, labels)] * case["accumulation"] * 2
    engine.train_step(model, batches, nn.CrossEntropyLoss(), optimizer, device, accumulation=case["accumulation"],
                      precision=resolve_precision("auto", device))
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else resident_peak()


def resident_peak() -> int:
    """The most bytes that this process ever had in memory (ru_maxrss is in KiB on Linux, in bytes on macOS)."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def measure(case: dict) -> float | None:
    """`peak` in a process of its own; None: the memory did not suffice."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.memory", json.dumps(case)], capture_output=True, text=True,
                          cwd=Path(__file__).resolve().parent.parent)
    if done.returncode == 0:
        return float(done.stdout.splitlines()[-1])
    if done.returncode == -9 or "OutOfMemoryError" in done.stderr or "DefaultCPUAllocator" in done.stderr:
        return None
    raise RuntimeError(f"{case} failed:\n{done.stderr}")


def row_memory(options: Namespace) -> str:
    """Peak memory of a step of ViT-L/16; on a GPU memory is limited to 16 GB, and cases that exceed it are marked."""
    cuda, rows = options.device.type == "cuda", []
    batches = options.batch_size or ([1, 8, 16, 32, 64, 128, 256] if cuda else [1, 2, 4, 8])
    cases = [(batch, 1, checkpointing) for batch, checkpointing in product(batches, (False, True))]
    cases += [(1, 8, False), (1, 8, True)]                                 # batch 1, eight of them a step
    cases = [(2, 2, True)] if options.quick else cases
    for model, size in product(options.model or ["vit_l_16"], options.image_size or [224]):
        for batch, accumulation, checkpointing in cases:
            bytes_ = measure({"model": model, "image_size": size, "batch": batch, "accumulation": accumulation,
                              "checkpointing": checkpointing})
            rows.append([model, size, batch, accumulation, "yes" if checkpointing else "no",
                         f"{bytes_ / 2**30:.2f}" if bytes_ else "out of memory",
                         "yes" if bytes_ and bytes_ <= LIMIT else "no"])
            print(rows[-1], flush=True)
    from benchmarks.timing import table

    what = "allocated on the GPU, bf16" if cuda else "resident, fp32, Python and torch included, some 0.9"
    return table(["model", "pixels", "batch", "batches per step", "checkpointing",
                  f"peak GiB ({what})", "within 16 GiB"],
                 rows)


if __name__ == "__main__":
    print(peak(json.loads(sys.argv[1])))
