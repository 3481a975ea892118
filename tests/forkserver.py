"""Processes forked from one that has loaded torch and computed no gradient, so that a run starts at once.

A process that has computed a gradient must not fork (torch.autograd's threads), and pytest's has.
"""

import contextlib
import functools
import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.conftest import ROOT, leave_blank

LOADED = ["train", "train_transferlearning", "evaluate", "audit", "functions.training.training_run",
          "functions.training.console", "functions.training.optimisation", "functions.training.feature_cache",
          "functions.reports.evaluation_report", "functions.reports.audit_report",
          "functions.checkpointing.checkpoint", "data_setup.loading.run_data", "data_setup.loading.predict_data",
          "data_setup.audit.findings", "data_setup.phantom.ceiling", "models", "models.transfer",
          "models.pretrained.load", "sklearn.metrics", "sklearn.linear_model", "matplotlib.backends.backend_agg",
          "scipy.optimize", "torch.utils.data", "torch._dynamo", "yaml", "PIL.Image", "pytest"]


@functools.cache
def fork_context(*first):
    """The multiprocessing context of these processes; the modules `first` are imported before all others."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fork_frozen", *first, *LOADED])
    with contextlib.chdir(ROOT), mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        multiprocessing.forkserver.ensure_running()
    return context


class Ended(NamedTuple):
    """How a process ended: its exit code (-9: killed) and what it printed."""

    code: int
    out: str
    err: str


def start(folder, script, *arguments, before=None, name="", drawn=False):
    """Starts a script's main inside `folder`, in a process group of its own; `before` is called in its process first.

    What it prints is written to `name`out.txt and `name`err.txt. Figures are a blank pixel unless they are `drawn`.
    """
    process = fork_context().Process(target=_run, args=(str(folder), script, arguments, before, name, drawn))
    process.start()
    return process


def _run(folder, script, arguments, before, name, drawn):
    import torch

    torch.set_num_threads(1)                    # a forked process has none of its parent's threads
    os.setpgid(0, 0)
    os.chdir(folder)
    for number, file in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name + file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    sys.argv = [f"{script}.py", *map(str, arguments)]
    if not drawn:
        leave_blank()
    if before:
        before()
    importlib.import_module(script).main()


def finish(process, folder, seconds=120, name=""):
    """Waits for the end."""
    process.join(seconds)
    assert process.exitcode is not None, f"{folder}: still running after {seconds} s: it hangs"
    return Ended(process.exitcode, *((Path(folder) / f"{name}{end}.txt").read_text() for end in ("out", "err")))
