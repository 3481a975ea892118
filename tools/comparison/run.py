"""Runs the fits of a comparison, in this process or in several."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

from functions.learning_curves.cells import Cells
from functions.learning_curves.plan import Plan, run_fits
from functions.runtime.jobs import Job, run_jobs
from tools.comparison.fits import frozen_features, make_fit
from tools.comparison.setup import Setup

EVERY = 30.0       # seconds between two lines on progress


def fit_all(plan: Plan, setup: Setup, jobs: int, threads: int) -> None:
    """Every fit that is not on disk; with `jobs` processes each runs this command with its --share."""
    if {"vit_probe", "vit_head"} & set(plan.methods):
        frozen_features(setup)                                    # once, for all processes
    with progress(plan):
        if jobs == 1:
            fit_share(plan, setup, 1, 1)
            return
        logs = plan.folder / "logs"
        logs.mkdir(exist_ok=True)
        shares = [Job(f"share {number}", [*sys.argv, "--share", f"{number}/{jobs}"], logs / f"{number}.txt")
                  for number in range(1, jobs + 1)]
        run_jobs(shares, jobs, [{"OMP_NUM_THREADS": str(threads)}] * jobs, lambda job: None)


def fit_share(plan: Plan, setup: Setup, part: int, count: int) -> None:
    """Every `count`-th fit from the `part`-th on."""
    run_fits(plan, plan.cells[part - 1::count], partial(make_fit, setup=setup), lambda cell, fit: print(
        f"{cell.file}: {fit.patients} patients, {fit.images:,} images, {fit.seconds:.1f} s", flush=True))


@contextmanager
def progress(plan: Plan) -> Iterator[None]:
    """Prints the number of finished fits when it has grown, every EVERY seconds at most."""
    def watch() -> None:
        store, shown = Cells(plan.folder, plan.cohort), -1
        while not stop.wait(EVERY):
            if (done := sum(map(store.finished, plan.cells))) != shown:
                print(f"{done} of {len(plan.cells)} fits finished", flush=True)
                shown = done

    stop, watcher = Event(), Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished fits are kept: the same command continues after them") from None
    finally:
        stop.set()
        watcher.join()
