"""A disk that is full while a checkpoint is written: one line, the one before is whole, no half of one is left."""

import json
import multiprocessing
import resource
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from tests.survival import runs
from tests.survival.faults import files_of_at_most, fill_the_disk


def stopped_by_a_full_disk(folder, ended, reason):
    runs.one_line(ended, 2, reason, "last.pt could not be written", "--resume runs/ViTModel")
    run = folder / runs.RUN
    assert load_checkpoint(run / "last.pt")["epoch"] == 1
    assert not list(run.glob("*.part"))
    assert not list(run.glob("process.*"))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB for the runs, where this user may mount one."""
    disk = tmp_path / "runs"
    disk.mkdir()
    if refusal := runs.mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", disk):
        pytest.skip(f"a small disk cannot be mounted here: {refusal}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(small_disk, tmp_path, whole, command):
    ended = runs.run(tmp_path, *command, fault=partial(fill_the_disk, 2, small_disk / "filler"))
    stopped_by_a_full_disk(tmp_path, ended, "No space left on device")
    runs.one_line(runs.go_on(tmp_path, command), 2, "No space left on device")
    (small_disk / "filler").unlink()
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(tmp_path, whole)


def test_a_limit_on_files_does_the_same_without_a_disk_of_its_own(tmp_path, whole, command):
    size = (whole / runs.RUN / "last.pt").stat().st_size
    ended = runs.run(tmp_path, *command, fault=partial(files_of_at_most, 2, size // 2))
    stopped_by_a_full_disk(tmp_path, ended, "File too large")
    assert json.loads((tmp_path / runs.RUN / "run.json").read_text())["state"] == "failed"
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(tmp_path, whole)


def _says(path, limit):
    """What saving 2 MB says in a process whose files cannot grow beyond a limit."""
    torch.set_num_threads(1)          # a forked process has none of its parent's threads, and would wait for them
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        save_checkpoint(path, {"weights": [torch.ones(100_000) for _ in range(5)]})
    except OSError as error:
        sys.exit(0 if f"File too large: {path} could not be written" in str(error) else str(error))
    except BaseException as error:
        sys.exit(f"{type(error)}: {error}")


@pytest.mark.parametrize("limit", [100, 500_000, 1_999_000])
def test_the_disk_is_named_wherever_it_is_full(tmp_path, limit):
    """Within a tensor torch.save tells of its own positions only, as a RuntimeError."""
    child = multiprocessing.get_context("fork").Process(target=_says, args=(tmp_path / "x.pt", limit))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert list(tmp_path.iterdir()) == []
