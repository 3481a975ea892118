"""Throughput: time per image, FLOP per training step, and the measured peak of the device."""

import copy
import statistics
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from functions.runtime.device import autocast
from functions.runtime.distributed import world_size

WARM_UP, ROUNDS, PRODUCTS = 0.5, 10, 5     # of the measured peak: seconds, timings, products per timing
COUNTED = 32      # images in the FLOP count, the chunk size of a frozen backbone


def seconds_per_image(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """Wall-clock seconds per image of (a training step, a forward pass) on a small batch (B, C, H, W).

    Does not change weights, running statistics, gradients or random numbers; everything is timed in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        model.eval()
        model(images[:1]).sum().backward()          # untimed: the first pass has set-up costs
        started = time.perf_counter()
        model(images).sum().backward()
        trained = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with torch.inference_mode():
            model(images)
        return (trained - started) / len(images), (time.perf_counter() - trained) / len(images)


def format_seconds(seconds: float) -> str:
    """"45 s", "3 min 20 s", "2 h 05 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Speed(NamedTuple):
    """FLOP of a training step per image, and the peak FLOP/s of the devices of all processes."""

    flop: float
    peak: float

    def mfu(self, images_per_second: float) -> float:
        """Model FLOPs utilisation: the share of the measured peak (Chowdhery et al. 2022, B)."""
        return self.flop * images_per_second / self.peak


def training_flop(model: nn.Module) -> float:
    """FLOP of a training step per image, forward and backward; a multiply-add is two, recomputation is not counted.

    Counted by torch on meta tensors, without computation. Needs `model.config`; must be called before activation
    checkpointing and sharding.
    """
    tensors = [*model.parameters(), *model.buffers()]
    memo = {id(t): torch.empty_like(t, device="meta") for t in tensors}
    memo |= {id(p): nn.Parameter(memo[id(p)], p.requires_grad) for p in model.parameters()}
    empty: nn.Module = copy.deepcopy(model, memo)
    config: Any = model.config
    images = torch.empty(COUNTED, config.in_channels, *config.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        empty(images).sum().backward()
    return counter.get_total_flops() / COUNTED


def measured_peak(device: torch.device, precision: str) -> float:
    """The sustained FLOP/s of the device at `precision`: the median over products of two large matrices.

    Measured after half a second of such products, because clocks are lower at the start; the maximum of a few products
    would not be sustained.
    """
    side = {"cuda": 8192, "mps": 4096}.get(device.type, 1024)
    a = torch.randn(side, side, device=device)
    seconds: list[float] = []
    with autocast(precision, device), torch.inference_mode():
        a = a @ a / side                         # in the dtype of the precision
        began = time.perf_counter()
        while time.perf_counter() - began < WARM_UP or len(seconds) < ROUNDS:
            _finish(device)
            started = time.perf_counter()
            for _ in range(PRODUCTS):
                a @ a
            _finish(device)
            seconds.append((time.perf_counter() - started) / PRODUCTS)
    return 2 * side**3 / statistics.median(seconds[-ROUNDS:])


def measure_speed(model: nn.Module, device: torch.device, precision: str) -> Speed:
    """The Speed of this model on the devices of all processes."""
    return Speed(training_flop(model), measured_peak(device, precision) * world_size())


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
