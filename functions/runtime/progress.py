"""Progress over images or other units: a bar on a terminal, otherwise log lines at a fixed interval."""

import sys
import time

from tqdm import tqdm

from functions.runtime.distributed import is_main

INTERVAL = 20.0     # seconds between two log lines


class Progress:
    """Counts units (images by default) up to `total`; only process 0 shows the progress.

    On a terminal (stderr) it is a bar. Otherwise it is a line on stdout at most every `every` seconds, with the count,
    the throughput and the remaining time.
    """

    def __init__(self, what: str, total: int, every: float = INTERVAL, unit: str = "image"):
        self.what, self.total, self.every, self.unit = what, total, every, unit
        self.done, self.started = 0, time.monotonic()
        self.printed = self.started
        self.bar = tqdm(total=total, desc=what, leave=False, disable=None if is_main() else True)
        self.lines = is_main() and not sys.stderr.isatty()

    def update(self, count: int) -> None:
        """Adds `count` processed units."""
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        if self.lines and now - self.printed >= self.every:
            self.printed = now
            speed = self.done / (now - self.started)
            left = (self.total - self.done) / speed
            rate = f"{speed:.1f} {self.unit}s/s" if speed >= 1 else f"{1 / speed:.1f} s per {self.unit}"
            remaining = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
            print(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}s, {rate}, {remaining} left", flush=True)

    def close(self) -> None:
        """Removes the bar."""
        self.bar.close()
