"""Ctrl-C and SIGTERM: exit code 130, one line that says how to go on, and going on ends the same."""

import json
import os
import random
import signal
from functools import partial

import psutil
import pytest

from tests.survival import runs
from tests.survival.faults import at_epoch, kill_at, read_from_disk, wait
from tests.survival.test_kills import draw


def interrupted(ended):
    """Exit code 130 and one line."""
    assert ended.code == 130, ended
    assert "Traceback" not in ended.err
    assert ended.err.strip().startswith("interrupted: ")
    assert len(ended.err.strip().splitlines()) == 1


def resumed(folder, whole, command):
    ended = runs.go_on(folder, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(folder, whole)


@pytest.mark.parametrize(("phase", "number"), [("start-up", signal.SIGINT), ("epoch", signal.SIGTERM),
                                               ("checkpoint", signal.SIGINT), ("results", signal.SIGTERM)])
def test_a_signal_at_any_moment_ends_in_one_line(tmp_path, whole, command, phase, number):
    call = draw(whole, phase, random.Random(phase))
    ended = runs.run(tmp_path, *command, fault=partial(kill_at, number=number, **call))
    interrupted(ended)
    if phase != "start-up":
        assert "--resume runs/ViTModel" in ended.err
        assert json.loads((tmp_path / runs.RUN / "run.json").read_text())["state"] == "interrupted"
        assert not list((tmp_path / runs.RUN).glob("*.part"))
        assert not (tmp_path / runs.RUN / "process.lock").exists()
    resumed(tmp_path, whole, command)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_the_readers_too(tmp_path, whole, command, number):
    """A terminal's Ctrl-C and a cluster's notice reach the processes that read slices as well."""
    fault = partial(read_from_disk, partial(at_epoch, 2, wait, tmp_path / "waiting"))
    process = runs.start(tmp_path, *command, "--num_workers", 1, fault=fault)
    runs.until((tmp_path / "waiting").exists, process)
    readers = psutil.Process(process.pid).children()
    assert len(readers) >= 1
    os.killpg(process.pid, number)
    ended = runs.finish(process, tmp_path)
    interrupted(ended)
    assert "--resume runs/ViTModel" in ended.err
    assert psutil.wait_procs(readers, timeout=60)[1] == []
    resumed(tmp_path, whole, command)
