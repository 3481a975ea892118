import random
import signal
import threading

import pytest
import torch

from functions.checkpointing import writer as checkpoint_writer
from functions.checkpointing.checkpoint import load_checkpoint
from functions.checkpointing.retention import find_best, find_last, retain
from functions.checkpointing.writer import CheckpointWriter, copied, tensor_bytes
from tests.functions.plain import curves, plain_checkpoint


def checkpoint(epoch, best):
    return plain_checkpoint(epoch, best={"epoch": best}, weights={"w": torch.full((5, 7), float(epoch))})


class SlowDisk:
    """`retain` that waits for a permit before it writes, and remembers what it wrote."""

    def __init__(self, monkeypatch):
        self.permits, self.written, self.refused = threading.Semaphore(0), [], set()
        monkeypatch.setattr(checkpoint_writer, "retain", self)
        monkeypatch.setattr(checkpoint_writer, "SECONDS", 0.0)

    def __call__(self, folder, state, is_best):
        assert self.permits.acquire(timeout=20)
        self.written.append((state["epoch"], is_best, threading.current_thread().name))
        if state["epoch"] in self.refused:
            raise OSError(28, "No space left on device")
        retain(folder, state, is_best)
        last = find_last(folder)[0]                         # what a kill at this moment would leave
        assert find_best(folder, last["best"]["epoch"])[0]["epoch"] == last["best"]["epoch"]


@pytest.fixture
def disk(monkeypatch):
    return SlowDisk(monkeypatch)


def test_training_may_change_everything_while_a_checkpoint_is_being_written(tmp_path, disk):
    state = checkpoint(1, 1)
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    writer.submit(state, True)
    assert not (tmp_path / "last.pt").exists(), "the loop goes on before anything is on the disk"
    state["weights"]["w"].zero_()
    state["history"]["train_loss"].append(0.5)
    disk.permits.release()
    writer.wait()
    written = load_checkpoint(tmp_path / "last.pt")
    assert (written["weights"]["w"] == 1).all()
    assert written["history"] == curves(1)
    assert disk.written == [(1, True, checkpoint_writer.THREAD)]


@pytest.mark.parametrize(("best", "expected"), [
    ({1, 3}, [(1, True), (3, True), (5, False)]),           # the selected and the newest wait; 2 and 4 are not written
    ({1, 3, 4}, [(1, True), (4, True), (5, False)]),        # a later selected epoch replaces an earlier one
    ({1, 5}, [(1, True), (5, True)]),                       # and everything before it
    ({1}, [(1, True), (5, False)])])
def test_epochs_that_end_while_the_disk_is_busy(tmp_path, disk, best, expected):
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    for epoch in range(1, 6):
        writer.submit(checkpoint(epoch, max(b for b in best if b <= epoch)), epoch in best)
        while epoch == 1 and writer.pending:                # until the thread has taken the first
            pass
    for _ in range(5):
        disk.permits.release()
    writer.wait()
    assert [(epoch, is_best) for epoch, is_best, _ in disk.written] == expected


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_skipped_the_selected_epoch_of_the_last_checkpoint_is_on_the_disk(tmp_path, disk, seed):
    """Random epochs selected, a disk of random speed; SlowDisk looks after every write."""
    draw = random.Random(seed)
    writer, best = CheckpointWriter(tmp_path, lambda: 2**40), 1
    for epoch in range(1, 15):
        is_best = epoch == 1 or draw.random() < 0.4
        best = epoch if is_best else best
        writer.submit(checkpoint(epoch, best), is_best)
        if draw.random() < 0.5:
            count = len(disk.written)
            disk.permits.release()
            while len(disk.written) == count and writer.thread is not None:
                pass
    for _ in range(15):
        disk.permits.release()
    writer.wait()
    assert find_last(tmp_path)[0]["epoch"] == 14
    assert find_best(tmp_path, best)[0]["epoch"] == best


def test_short_epochs_are_written_by_the_clock_and_at_once_when_the_run_ends(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(checkpoint_writer, "SECONDS", 1000.0)
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    for epoch in range(1, 5):
        writer.submit(checkpoint(epoch, 1), epoch == 1)
        if epoch == 1:
            disk.permits.release()
            while not disk.written:
                pass
    assert [epoch for epoch, *_ in disk.written] == [1]
    disk.permits.release()
    writer.wait()
    assert [epoch for epoch, *_ in disk.written] == [1, 4]
    assert (load_checkpoint(tmp_path / "last.pt")["weights"]["w"] == 4).all()


def test_nothing_is_written_after_a_selected_epoch_that_the_disk_refused(tmp_path, disk, monkeypatch):
    """A later epoch would name a best one that is in no file."""
    disk.refused = {2}
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    writer.submit(checkpoint(1, 1), True)
    disk.permits.release()
    writer.wait()
    monkeypatch.setattr(checkpoint_writer, "SECONDS", 1000.0)     # both wait for the clock
    writer.submit(checkpoint(2, 2), True)
    writer.submit(checkpoint(3, 2), False)
    for _ in range(5):
        disk.permits.release()
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    assert [epoch for epoch, *_ in disk.written] == [1, 2]
    assert find_last(tmp_path)[0]["epoch"] == 1
    disk.refused = set()
    writer.submit(checkpoint(4, 4), True)
    writer.wait()
    assert find_last(tmp_path)[0]["epoch"] == 4


def test_the_selected_and_the_newest_epoch_are_written_together(tmp_path, disk, monkeypatch):
    """The clock is asked once for both, so the newest is not SECONDS later still."""
    monkeypatch.setattr(checkpoint_writer, "SECONDS", 1000.0)
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    writer.submit(checkpoint(1, 1), True)
    disk.permits.release()
    while not (tmp_path / "last.pt").exists():
        pass
    waits = []
    monkeypatch.setattr(writer.flush, "wait", lambda seconds: waits.append(seconds > 0))
    writer.submit(checkpoint(2, 2), True)
    writer.submit(checkpoint(3, 2), False)
    disk.permits.release()
    disk.permits.release()
    writer.wait()
    assert [epoch for epoch, *_ in disk.written][-1] == 3
    assert sum(waits) <= 2, "one wait for 2 and 3, or one each if 2 was taken before 3 came"


def test_an_interruption_before_the_thread_began_loses_nothing(tmp_path, disk, monkeypatch):
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    writer.submit(checkpoint(1, 1), True)
    disk.permits.release()
    writer.wait()
    assert find_last(tmp_path)[0]["epoch"] == 1


def test_a_failed_write_is_raised_in_the_loops_own_thread(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "retain", full)
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    writer.submit(checkpoint(1, 1), True)
    with pytest.raises(OSError, match="No space left"):
        writer.wait()
    writer.wait()                                           # told once
    with pytest.raises(OSError, match="No space left"), CheckpointWriter(tmp_path, lambda: 2**40) as writer:
        writer.submit(checkpoint(1, 1), True)


def test_leaving_the_context_waits_for_the_disk_whatever_happened(tmp_path, disk):
    timer = threading.Timer(0.1, disk.permits.release)
    with pytest.raises(KeyboardInterrupt), CheckpointWriter(tmp_path, lambda: 2**40) as writer:      # noqa: PT012
        writer.submit(checkpoint(1, 1), True)
        timer.start()
        raise KeyboardInterrupt
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1


def test_where_memory_is_scarce_nothing_is_copied(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(checkpoint_writer, "copied", lambda state: pytest.fail("copied"))
    disk.permits.release()
    CheckpointWriter(tmp_path, lambda: 2).submit(checkpoint(1, 1), True)
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


def test_a_signal_while_the_caller_waits_loses_no_checkpoint(tmp_path, disk):
    """threading.Thread.join, interrupted by a signal, marks a running thread as finished (Python 3.11, 3.12)."""
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    writer = CheckpointWriter(tmp_path, lambda: 2**40)
    writer.submit(checkpoint(1, 1), True)
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
    threading.Timer(0.6, disk.permits.release).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            writer.wait()
        writer.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert disk.written == [(1, True, checkpoint_writer.THREAD)]
    assert load_checkpoint(tmp_path / "last.pt")["epoch"] == 1
