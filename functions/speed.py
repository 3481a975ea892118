"""How long an epoch will take, measured before it starts."""

import time

import torch
from torch import Tensor, nn


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


def in_words(seconds: float) -> str:
    """"45 s", "3 min 20 s", "2 h 05 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
