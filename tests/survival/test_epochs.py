"""What goes wrong in the middle of an epoch: one line, nothing of that epoch is kept, going on ends the same."""

import json
from functools import partial

import pytest

from functions.checkpointing.checkpoint import load_checkpoint
from tests.survival import faults, runs


def stopped_in_epoch_2(folder, ended, code, *words):
    """One line; the first epoch is whole, nothing of the second is there."""
    runs.one_line(ended, code, *words)
    run = folder / runs.RUN
    assert load_checkpoint(run / "last.pt")["epoch"] == 1
    assert len((run / "results.csv").read_text().splitlines()) == 2
    assert json.loads((run / "run.json").read_text())["state"] == "failed"
    assert not list(run.glob("process.*"))


def resumed(folder, whole, command):
    ended = runs.go_on(folder, command)
    assert (ended.code, ended.err) == (0, "")
    runs.assert_same(folder, whole)


@pytest.mark.parametrize(("act", "step"), [(faults.spoil_a_weight, 1), (faults.spoil_a_batch, 3)])
def test_a_number_that_is_none_ends_the_epoch_and_the_good_one_goes_on(tmp_path, whole, command, act, step):
    ended = runs.run(tmp_path, *command, fault=partial(faults.at_epoch, 2, act))
    stopped_in_epoch_2(tmp_path, ended, 2, f"not finite at step {step} of this epoch's training")
    resumed(tmp_path, whole, command)


@pytest.mark.parametrize(("act", "workers"), [(faults.remove, 1), (faults.change, 0)])
def test_a_picture_that_vanished_or_changed_is_named(tmp_path, whole, command, slices, act, workers):
    from tests.survival.test_places import copied

    folders, paths = copied(slices, tmp_path / "pictures", whole)
    more = [] if act is faults.remove else [paths[1]]
    fault = partial(faults.read_from_disk, partial(faults.at_epoch, 2, act, paths[0], *more))
    ended = runs.run(tmp_path, *command, *folders, "--num_workers", workers, fault=fault)
    what = "No such file" if act is faults.remove else "has changed since the run began"
    stopped_in_epoch_2(tmp_path, ended, 2, str(paths[0]), what, "with --resume")
    paths[0].with_name(f"{paths[0].name}.away").rename(paths[0])
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("which", [0, -1])       # one that reads for training, one that waits for the next scoring
def test_a_reader_that_is_killed_stops_the_run_in_one_line(tmp_path, command, which):
    fault = partial(faults.read_from_disk, partial(faults.at_epoch, 2, faults.kill_a_worker, which))
    ended = runs.run(tmp_path, *command, "--num_workers", 1, "--batch_size", 4, fault=fault)
    stopped_in_epoch_2(tmp_path, ended, 2, "a DataLoader worker died")      # torch says "Killed", or, in a race, not
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, "")
