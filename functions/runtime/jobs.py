"""Commands run in parallel processes, each with a log file."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from functions.runtime.errors import UserError


class Job(NamedTuple):
    """A command of Python: its name, its arguments, and the file that gets its output."""

    name: str
    arguments: list[str]
    log: Path


def run_jobs(jobs: Iterable[Job], parallel: int, environments: list[dict[str, str]],
             finished: Callable[[Job], None]) -> None:
    """Runs all jobs, at most `parallel` at a time, and calls finished(job) in this thread after each.

    A running job has one of the `environments` (at least `parallel` of them) for itself, added to this process's: the
    device or the number of threads. The first job that fails stops the others: UserError with the last line of its log
    if its exit code is 2, RuntimeError otherwise. Ctrl-C is passed on to the running jobs, which save their state.
    """
    free: SimpleQueue[dict[str, str]] = SimpleQueue()
    for environment in environments:
        free.put(environment)
    running: set[subprocess.Popen] = set()
    stopping = False

    def run(job: Job) -> int | None:
        nonlocal stopping
        if stopping:
            return None
        environment = free.get()
        try:
            with job.log.open("ab") as log:
                process = subprocess.Popen([sys.executable, *job.arguments], stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=subprocess.STDOUT, env=os.environ | environment,
                                           start_new_session=True)      # Ctrl-C is passed on once, by `stop`
                running.add(process)
                if stopping:
                    stop(process)
                code = process.wait()
                running.discard(process)
                stopping = stopping or code != 0
                return code
        finally:
            free.put(environment)

    pool = ThreadPoolExecutor(parallel)
    futures = {pool.submit(run, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            job, code = futures[future], future.result()
            if code != 0:
                raise _failure(job, code)
            finished(job)
    finally:
        stopping = True
        for process in list(running):
            stop(process)
        pool.shutdown(cancel_futures=True)


def stop(process: subprocess.Popen) -> None:
    """Interrupts a process as Ctrl-C does; on Windows, which cannot, it is ended."""
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)


def _failure(job: Job, code: int | None) -> Exception:
    lines = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
    if code == 2:
        return UserError(f"{job.name}: {lines[-1].removeprefix('error: ')}")
    return RuntimeError(f"{job.name} ended with exit code {code}; {job.log} ends with: {lines[-1]}")
