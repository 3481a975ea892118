"""How long an epoch will take, measured before it starts; what a step costs, and how much of the device it uses."""

import copy
import statistics
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from functions.runtime.device import autocast
from functions.runtime.distributed import world_size

WARM_UP, ROUNDS, PRODUCTS = 0.5, 10, 5     # of the measured peak: seconds, timings, products each
COUNTED = 32      # images: as many as a frozen backbone takes at once


def seconds_per_image(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """Wall-clock seconds that (a training step, a forward pass) takes for each image of a small batch (B, C, H, W).

    Leaves weights, running statistics, gradients and random numbers as they were: everything is timed in eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        model.eval()
        model(images[:1]).sum().backward()          # the first pass sets things up and would be counted
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
    """What a training step costs, and what all processes' devices could do: FLOP an image, FLOP/s."""

    flop: float
    peak: float

    def used(self, images_per_second: float) -> float:
        """Model-FLOP utilisation: the share of the measured peak (Chowdhery et al. 2022, B)."""
        return self.flop * images_per_second / self.peak


def training_flop(model: nn.Module) -> float:
    """FLOP of a training step for one image, forward and backward: a multiply-add is two, recomputation not counted.

    Counted by torch on tensors without content, so it costs neither time nor memory. Needs `model.config`; call it
    before activations are checkpointed or weights sharded.
    """
    tensors = [*model.parameters(), *model.buffers()]
    memo = {id(t): torch.empty_like(t, device="meta") for t in tensors}
    memo |= {id(p): nn.Parameter(memo[id(p)], p.requires_grad) for p in model.parameters()}
    empty, config = copy.deepcopy(model, memo), model.config
    images = torch.empty(COUNTED, config.in_channels, *config.image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        empty(images).sum().backward()
    return counter.get_total_flops() / COUNTED


def measured_peak(device: torch.device, precision: str) -> float:
    """FLOP/s that this device keeps up at `precision`: the median of back-to-back products of two large matrices.

    After half a second of such products: from cold, clocks are too low, and the best of a few products is above what
    can be kept up.
    """
    side = {"cuda": 8192, "mps": 4096}.get(device.type, 1024)
    a, seconds = torch.randn(side, side, device=device), []
    with autocast(precision, device), torch.inference_mode():
        a = a @ a / side                         # has the precision's own type
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
    """A Speed of this model and these devices."""
    return Speed(training_flop(model), measured_peak(device, precision) * world_size())


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
