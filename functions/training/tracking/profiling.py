"""Profiling of a few training steps with torch's profiler: a trace and a table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from functions.runtime.atomic_files import write_text
from functions.runtime.distributed import is_main

SKIPPED = 3       # steps before the first recorded one: they load kernels and fill caches


@contextmanager
def step_profiler(steps: int | None, folder: Path, device: torch.device) -> Iterator[Callable[[], None] | None]:
    """A function to call after every step, which records `steps` steps after the first SKIPPED; None without `steps`.

    Writes profile_trace.json (for chrome://tracing or ui.perfetto.dev) and profile.txt, the ten slowest operations,
    into `folder`, and prints the table. Only process 0 is recorded.
    """
    if not steps or not is_main():
        yield None
        return
    gpu, done = device.type == "cuda", []

    def write(profiler: profile) -> None:
        by = "self_device_time_total" if gpu else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=by, row_limit=10, max_name_column_width=50)
        profiler.export_chrome_trace(str(folder / "profile_trace.json"))
        write_text(folder / "profile.txt", table)
        print(f"profile  the ten slowest operations (trace: {folder}/profile_trace.json)\n{table}")
        done.append(True)

    profiler = profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * gpu, on_trace_ready=write,
                       schedule=schedule(wait=SKIPPED - 1, warmup=1, active=steps, repeat=1))
    with profiler:
        yield profiler.step
    if not done:
        print(f"profile  nothing recorded: the run had no more than {SKIPPED} steps")
