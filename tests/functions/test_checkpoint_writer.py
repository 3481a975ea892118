import random
import threading

import pytest
import torch

from functions import checkpoint_writer
from functions.checkpoint_files import find_best, find_last, keep
from functions.checkpoint_writer import CheckpointWriter, copied, tensor_bytes
from functions.checkpoints import load_checkpoint
from tests.functions.plain import plain_checkpoint


def checkpoint(epoch, best):
    return plain_checkpoint(epoch, best={"epoch": best}, weights={"w": torch.full((5, 7), float(epoch))})


class SlowDisk:
    """`keep` that waits for a permit before it writes, and remembers what it wrote."""

    def __init__(self, monkeypatch):
        self.permits, self.written = threading.Semaphore(0), []
        monkeypatch.setattr(checkpoint_writer, "keep", self)
        monkeypatch.setattr(checkpoint_writer, "SECONDS", 0.0)

    def __call__(self, folder, state, is_best):
        assert self.permits.acquire(timeout=20)
        self.written.append((state["epoch"], is_best, threading.current_thread().name))
        keep(folder, state, is_best)


@pytest.fixture
def disk(monkeypatch):
    return SlowDisk(monkeypatch)


def test_training_may_change_everything_while_a_checkpoint_is_being_written(tmp_path, disk):
    state = checkpoint(1, 1) | {"history": {"train_loss": [1.0]}}
    writer = CheckpointWriter(tmp_path)
    writer.submit(state, True)
    assert not (tmp_path / "last.pt").exists(), "the loop goes on before anything is on the disk"
    state["weights"]["w"].zero_()
    state["history"]["train_loss"].append(0.5)
    disk.permits.release()
    writer.wait()
    written = load_checkpoint(tmp_path / "last.pt")
    assert (written["weights"]["w"] == 1).all()
    assert written["history"] == {"train_loss": [1.0]}
    assert disk.written == [(1, True, checkpoint_writer.THREAD)]


@pytest.mark.parametrize(("best", "expected"), [
    ({1, 3}, [(1, True), (3, True), (5, False)]),           # the selected and the newest wait; 2 and 4 are not written
    ({1, 3, 4}, [(1, True), (4, True), (5, False)]),        # a later selected epoch replaces an earlier one
    ({1, 5}, [(1, True), (5, True)]),                       # and everything before it
    ({1}, [(1, True), (5, False)])])
def test_epochs_that_end_while_the_disk_is_busy(tmp_path, disk, best, expected):
    writer = CheckpointWriter(tmp_path)
    for epoch in range(1, 6):
        writer.submit(checkpoint(epoch, max(b for b in best if b <= epoch)), epoch in best)
        while epoch == 1 and writer.waiting:                # until the thread has taken the first
            pass
    for _ in range(5):
        disk.permits.release()
    writer.wait()
    assert [(epoch, is_best) for epoch, is_best, _ in disk.written] == expected


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_skipped_the_selected_epoch_of_the_last_checkpoint_is_on_the_disk(tmp_path, disk, seed):
    """Random epochs selected, a disk of random speed: what a kill would leave is whole after every write."""
    draw = random.Random(seed)
    writer, best = CheckpointWriter(tmp_path), 1
    for epoch in range(1, 15):
        is_best = epoch == 1 or draw.random() < 0.4
        best = epoch if is_best else best
        writer.submit(checkpoint(epoch, best), is_best)
        if draw.random() < 0.5:
            count = len(disk.written)
            disk.permits.release()
            while len(disk.written) == count and writer.thread is not None:
                pass
            if draw.random() < 0.5:
                continue
            last = find_last(tmp_path)[0] if (tmp_path / "last.pt").exists() and not writer.waiting else None
            if last:
                assert find_best(tmp_path, last["best"]["epoch"])[0]["epoch"] == last["best"]["epoch"]
    for _ in range(15):
        disk.permits.release()
    writer.wait()
    assert find_last(tmp_path)[0]["epoch"] == 14
    assert find_best(tmp_path, best)[0]["epoch"] == best


def test_short_epochs_are_written_by_the_clock_and_at_once_when_the_run_ends(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(checkpoint_writer, "SECONDS", 1000.0)
    writer = CheckpointWriter(tmp_path)
    for epoch in range(1, 5):
        writer.submit(checkpoint(epoch, 1), epoch == 1)
        while epoch == 1 and not disk.written:
            disk.permits.release()
    assert [epoch for epoch, *_ in disk.written] == [1]
    writer.wait()
    assert [epoch for epoch, *_ in disk.written] == [1, 4]
    assert (load_checkpoint(tmp_path / "last.pt")["weights"]["w"] == 4).all()


def test_a_failed_write_is_raised_in_the_loops_own_thread(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "keep", full)
    writer = CheckpointWriter(tmp_path)
    writer.submit(checkpoint(1, 1), True)
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    writer.wait()                                           # told once
    with pytest.raises(OSError, match="No space left"), CheckpointWriter(tmp_path) as writer:
        writer.submit(checkpoint(1, 1), True)


def test_leaving_the_context_waits_for_the_disk_whatever_happened(tmp_path, disk):
    timer = threading.Timer(0.1, disk.permits.release)
    with pytest.raises(KeyboardInterrupt), CheckpointWriter(tmp_path) as writer:      # noqa: PT012
        writer.submit(checkpoint(1, 1), True)
        timer.start()
        raise KeyboardInterrupt
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1


def test_where_memory_is_scarce_nothing_is_copied(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(checkpoint_writer.psutil, "virtual_memory", lambda: type("Free", (), {"available": 2})())
    monkeypatch.setattr(checkpoint_writer, "copied", lambda state: pytest.fail("copied"))
    disk.permits.release()
    CheckpointWriter(tmp_path).submit(checkpoint(1, 1), True)
    assert disk.written == [(1, True, threading.main_thread().name)]


def test_sizes_and_copies_of_nested_states():
    state = {"a": torch.ones(3), "b": [torch.ones(2, dtype=torch.int64), {"c": (torch.ones(()), "text", None)}]}
    assert tensor_bytes(state) == 12 + 16 + 4
    copy = copied(state)
    assert copy["b"][1]["c"][1:] == ("text", None)
    assert type(copy["b"][1]["c"]) is tuple
    for ours, theirs in ((copy["a"], state["a"]), (copy["b"][0], state["b"][0])):
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()
