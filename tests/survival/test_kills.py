"""A run killed at any moment, and killed again while it goes on, ends as if nothing had happened."""

import json
import random
from functools import partial

import pytest

from functions.checkpointing.checkpoint import load_checkpoint
from tests.survival import runs
from tests.survival.faults import kill_at, kill_at_rename

PHASES = ["start-up", "epoch", "checkpoint", "results"]


def draw(whole, phase, generator):
    """A kill at a call of the undisturbed run, in this phase."""
    spans = [span for span in json.loads((whole / "calls.json").read_text()) if span[0] == phase]
    _, first, last = generator.choice(spans)
    return {"call": generator.randint(first, last), "writing": phase == "checkpoint"}


def survive(folder, whole, command, first, second=None):
    """Kill, perhaps kill again, go on: the same run, and no epoch repeated whose checkpoint was on the disk."""
    kills = int(runs.run(folder, *command, fault=partial(kill_at, **first)).code == -9)
    if second:
        kills += runs.go_on(folder, command, partial(kill_at, **second)).code == -9
    begun, saved = epochs_begun(folder), last_epoch(folder)
    ended = runs.go_on(folder, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(folder, whole)
    assert epochs_begun(folder) - begun == 3 - saved
    return kills


def epochs_begun(folder):
    """How many epochs all processes so far began."""
    file = folder / "epochs.txt"
    return len(file.read_text().splitlines()) if file.exists() else 0


def last_epoch(folder):
    """The epoch of last.pt; 0: there is none."""
    last = folder / runs.RUN / "last.pt"
    return load_checkpoint(last)["epoch"] if last.exists() else 0


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(tmp_path, whole, command, seed):
    generator = random.Random(seed)
    first = draw(whole, PHASES[seed % 4], generator)
    second = draw(whole, PHASES[seed % 3], generator) if seed % 2 else None
    assert survive(tmp_path, whole, command, first, second) >= 1


@pytest.mark.parametrize("n", [2, 6, 10])    # before run.json says it runs, last.pt | best.pt, previous.pt | last.pt
def test_a_run_killed_between_two_of_its_files_goes_on(tmp_path, whole, command, n):
    assert runs.run(tmp_path, *command, fault=partial(kill_at_rename, n)).code == -9
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(tmp_path, whole)
