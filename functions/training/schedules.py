"""Learning-rate schedules: functions from a step to a factor on the base learning rate."""

import math
from collections.abc import Callable


def warmup(step: int, warmup_steps: int) -> float:
    """Linear warm-up: (step + 1) / warmup_steps, at most 1; the factor of the first step is above 0."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def cosine(step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Warm-up, then ½(1 + cos(π t)) with t from 0 to 1 over the steps after warm-up (Table 3, ImageNet-1k; Table 4)."""
    if step < warmup_steps:
        return warmup(step, warmup_steps)
    return (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))) / 2


def linear(step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Warm-up, then 1 - t with t from 0 to 1 over the steps after warm-up (Table 3, JFT-300M and ImageNet-21k)."""
    if step < warmup_steps:
        return warmup(step, warmup_steps)
    return max(0.0, 1 - (step - warmup_steps) / max(1, total_steps - warmup_steps))


def constant(step: int, total_steps: int, warmup_steps: int = 0) -> float:
    """Warm-up, then 1."""
    return warmup(step, warmup_steps)


def linear_lr(step: int, steps_per_epoch: int) -> float:
    """From 1/3 to 1 over 5 epochs, updated once per epoch, then 1: torch's LinearLR with its defaults."""
    return min(1.0, 1 / 3 + (2 / 3) * (step // steps_per_epoch) / 5)


def make_schedule(name: str, epochs: int, steps_per_epoch: int, warmup_share: float,
                  steps: int | None = None) -> Callable[[int], float]:
    """The schedule `name` as a function step → factor; warm-up takes `warmup_share` of all steps.

    The total number of steps is `steps` if given, else that of `epochs`.
    """
    total_steps = steps or epochs * steps_per_epoch
    warmup_steps = round(warmup_share * total_steps)
    if name == "linear_lr":
        return lambda step: linear_lr(step, steps_per_epoch)
    shapes = {"cosine": cosine, "linear": linear, "constant": constant}
    if name not in shapes:
        raise ValueError(f'unknown schedule "{name}"; known: {", ".join([*shapes, "linear_lr"])}')
    return lambda step: shapes[name](step, total_steps, warmup_steps)
