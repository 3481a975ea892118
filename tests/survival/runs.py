"""Runs of train.py in processes forked from one that has loaded torch, each with a fault; and what must be the same."""

import functools
import json
import multiprocessing
import subprocess
import time
from pathlib import Path

import pandas as pd
import torch

from functions.checkpointing.checkpoint import load_checkpoint
from tests import forkserver
from tests.conftest import TINY
from tests.forkserver import finish

RUN = Path("runs/ViTModel")
TIMES = {"train_seconds", "train_waited"}


def mount(*arguments):
    """What speaks against mounting something here; "" if it is done."""
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    except FileNotFoundError as error:
        return str(error)
    return (done.stderr.strip() or "mount fails") if done.returncode else ""


def command(slices):
    """A run of three short epochs."""
    return ["--train_dir", slices / "train", "--test_dir", slices / "test", *TINY, "--seed", "3", "--epochs", "3"]


def _prepare(fault, readers):
    from tests.survival import faults

    multiprocessing.set_start_method(readers, force=True)     # all but "fork" load torch anew
    faults.log_epochs()
    faults.save_every_epoch()
    if fault:
        fault()


def start(folder, *arguments, fault=None, readers="fork"):
    """Starts train.py with these arguments in `folder`; `fault` is called in its process first.

    `readers` is how the processes that read slices are started. With a fault, which may strike then, figures are drawn.
    """
    return forkserver.start(folder, "train", *arguments, before=functools.partial(_prepare, fault, readers),
                            drawn=fault is not None)


def until(condition, process, seconds=120):
    """Waits until a running process has brought something about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.exitcode is None, process
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.02)


def run(folder, *arguments, **options):
    return finish(start(folder, *arguments, **options), folder)


def undisturbed(folder, arguments, fault):
    """`folder`, in which a run has ended well; `fault` disturbs nothing."""
    ended = run(folder, *arguments, fault=fault)
    assert (ended.code, ended.err) == (0, "")
    return folder


def go_on(folder, arguments, fault=None):
    """What a user does after an interruption: --resume, or the same command where there is no run yet."""
    again = ["--resume", RUN] if (Path(folder) / RUN).exists() else arguments
    return run(folder, *again, fault=fault)


def one_line(ended, code, *words):
    """The exit code, one line on stderr with these words, no traceback."""
    assert ended.code == code, ended
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err, ended.err
    for word in words:
        assert word in ended.err, ended.err


def equal(ours, theirs):
    """Equality of nested plain types and tensors, bit for bit; wall-clock times aside."""
    if isinstance(ours, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict):
        keys = set(ours) - TIMES
        return keys == set(theirs) - TIMES and all(equal(ours[key], theirs[key]) for key in keys)
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return ours == theirs


def assert_same(folder, other):
    """Two finished runs decided the same, and nothing else is left of what happened to one of them."""
    ours, theirs = Path(folder) / RUN, Path(other) / RUN
    for name in ("last.pt", "best.pt"):
        checkpoint, expected = load_checkpoint(ours / name), load_checkpoint(theirs / name)
        for key in expected.keys() - {"run_id"}:
            assert equal(checkpoint[key], expected[key]), (name, key)
    for name in ("predictions.csv", "split.csv", "metrics.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    assert pd.read_pickle(ours / "ViTModel_losses.pkl") == pd.read_pickle(theirs / "ViTModel_losses.pkl")
    tables = [pd.read_csv(run / "results.csv").drop(columns=TIMES) for run in (ours, theirs)]
    assert tables[0].equals(tables[1])
    assert json.loads((ours / "run.json").read_text())["state"] == "finished"
    kept = {"previous.pt", "previous_best.pt"}
    assert {path.name for path in ours.iterdir()} - kept == {path.name for path in theirs.iterdir()} - kept
