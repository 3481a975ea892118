"""Rows 1 and 2: training steps and inference of the same ViT, compared with torchvision's, timm's and transformers'."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.flops import training_flops
from benchmarks.peers import PEERS
from benchmarks.timing import alternate, fastest_peer, ratios, summarise, table
from functions.runtime.device import autocast
from functions.training.throughput import measured_peak
from models import VARIANTS, ViTConfig


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor,
                  precision: str) -> None:
    """Forward, loss, backward, optimiser step, gradients cleared."""
    with autocast(precision, images.device):
        loss = F.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.inference_mode()
def inference(model: nn.Module, images: Tensor, precision: str) -> None:
    """One forward pass."""
    with autocast(precision, images.device):
        model(images)


def build_peer(name: str, config: ViTConfig, device: torch.device) -> nn.Module:
    with device:
        return PEERS[name](config)


def batch(config: ViTConfig, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random images and labels, on the device: no data loading in these rows."""
    images = torch.randn(size, config.in_channels, *config.image_size, device=device)
    return images, torch.randint(config.num_classes, (size,), device=device)


def row_step(options: Namespace) -> str:
    """Training step and inference in fp32, all implementations alternating; ours is compared with the fastest peer."""
    rows = []
    for model, size in product(options.model or ["vit_ti_16", "vit_b_16"], options.image_size or [224]):
        config = replace(VARIANTS[model], num_classes=4, image_size=size)
        images, labels = batch(config, (options.batch_size or [8])[0], options.device)
        models = {name: build_peer(name, config, options.device) for name in options.party or PEERS}
        for what in ("training step", "inference"):
            parties = {}
            for name, net in models.items():
                net.train(what == "training step")
                optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
                parties[name] = (partial(training_step, net, optimizer, images, labels, "fp32") if net.training
                                 else partial(inference, net, images, "fp32"))
            seconds = alternate(parties, options.rounds, options.device, warmup=2)
            best = fastest_peer(seconds) if len(seconds) > 1 else "ours"
            for name, times in seconds.items():
                rows.append([model, size, what, len(images), name + (" (fastest peer)" if name == best else ""),
                             summarise([1e3 * t for t in times]).text(".0f"),
                             ratios(seconds, name, best).text(".3f")])
    return table(["model", "pixels", "what", "batch", "implementation", "ms",
                  "times the fastest peer's, round by round"], rows)


def row_gpu(options: Namespace) -> str:
    """Training images/s, model-FLOP utilisation and peak memory over sizes, precisions, compile and batch sizes."""
    cuda, rows = options.device.type == "cuda", []
    models, sizes = options.model or ["vit_b_16"], options.image_size or [224, 384]
    steps = 5 if cuda and not options.quick else 1
    precisions = options.precision or (["fp32", "bf16"] if cuda else ["fp32"])
    peak = {p: measured_peak(options.device, p) for p in precisions}
    grid = product(models, sizes, precisions, options.compile or ["eager", "compile"],
                   options.batch_size or [32, 128, 256, 512, 1024])
    for model, size, precision, how, count in grid:
        config = replace(VARIANTS[model], num_classes=4, image_size=size)
        seconds, memory = measure_training(config, precision, how == "compile", count, steps, options)
        for name in memory:
            if name in seconds:
                speed = summarise([steps * count / t for t in seconds[name]])
                used = speed.median * training_flops(config) / peak[precision]
                result = [speed.text(".0f"), f"{used:.1%}", f"{memory[name] / 2**30:.1f}" if cuda else "-"]
            else:
                result = ["out of memory", "-", "-"]
            rows.append([model, size, precision, how, count, name, *result])
            print(rows[-1], flush=True)
    found = ", ".join(f"{p}{' (TF32)' * (cuda and p == 'fp32')} {peak[p] / 1e12:.3g} TFLOP/s" for p in precisions)
    flops = "; ".join(f"{m} at {s}: {training_flops(replace(VARIANTS[m], num_classes=4, image_size=s)) / 1e9:.1f}"
                      for m, s in product(models, sizes))
    return (f"Ceiling, by a large matrix product in this run: {found}. GFLOP per image in training: {flops}.\n\n"
            + table(["model", "pixels", "precision", "how", "batch", "implementation", "images/s",
                     "of the ceiling", "peak GiB"],
                    rows))


def measure_training(config: ViTConfig, precision: str, compiled: bool, count: int, steps: int,
                     options: Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """(seconds per round of `steps` training steps of each implementation that fitted, peak bytes of each).

    0 bytes: out of memory.
    """
    torch.compiler.reset()                                # else a second batch size would be compiled for any size
    images, labels = batch(config, count, options.device)
    parties, memory = {}, {}
    for name in options.party or PEERS:
        torch.cuda.empty_cache()
        parties[name], memory[name] = prepare(name, config, precision, compiled, images, labels, steps)
    fitting = {name: party for name, party in parties.items() if memory[name]}
    return alternate(fitting, options.rounds, options.device) if fitting else {}, memory


def prepare(name: str, config: ViTConfig, precision: str, compiled: bool, images: Tensor, labels: Tensor,
            steps: int) -> tuple[Callable[[], None] | None, int]:
    """(`steps` training steps as one call, their peak bytes without what others hold); (None, 0) if out of memory."""
    cuda = images.device.type == "cuda"
    others = torch.cuda.memory_allocated() if cuda else 0
    try:
        model = build_peer(name, config, images.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        if compiled:
            model.compile()

        def some_steps() -> None:
            for _ in range(steps):
                training_step(model, optimizer, images, labels, precision)

        some_steps()                                      # compiles, and makes the optimiser's state
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        some_steps()
        return some_steps, torch.cuda.max_memory_allocated() - others if cuda else 1
    except torch.OutOfMemoryError:
        return None, 0
