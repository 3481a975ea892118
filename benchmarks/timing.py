"""Alternating timing of several implementations in one process, so that slow phases of the machine affect all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch


class Summary(NamedTuple):
    """Median and quartiles of some numbers."""

    median: float
    low: float
    high: float

    def text(self, form: str = ".3g") -> str:
        """"median [first quartile to third]"."""
        return f"{self.median:{form}} [{self.low:{form}} to {self.high:{form}}]"


def summarise(values: Sequence[float]) -> Summary:
    """Median and quartiles (inclusive: of one number, that number)."""
    if len(values) == 1:
        return Summary(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(median, low, high)


def synchronise(device: torch.device) -> None:
    """Waits until the device has finished all work; does nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def alternate(parties: Mapping[str, Callable[[], object]], rounds: int, device: torch.device,
              warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each implementation's call in each round: A B C, then B C A, …, after `warmup` calls of each."""
    for party in parties.values():
        for _ in range(warmup):
            party()
    names, seconds = list(parties), {name: [] for name in parties}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            synchronise(device)
            started = time.perf_counter()
            parties[name]()
            synchronise(device)
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], name: str, to: str) -> Summary:
    """How many times as long as `to` an implementation took, per round: slow phases of the machine cancel out."""
    return summarise([a / b for a, b in zip(seconds[name], seconds[to], strict=True)])


def fastest_peer(seconds: Mapping[str, Sequence[float]]) -> str:
    """The implementation with the lowest median, except ours."""
    return min((name for name in seconds if name != "ours"), key=lambda name: summarise(seconds[name]).median)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
