"""Saving while training goes on: a copy of the state on the CPU, written to the disk by a thread.

The loop waits only for the copy. What is kept, under which names and in which order, is `checkpoint_files.keep`'s.

An epoch is written when it ends, but not sooner than SECONDS after the last one was. If epochs end faster than that,
the newest and the selected one wait, as copies, and those between them are never written. So a run that is killed
(SIGKILL) repeats at most the epoch it was in, those that ended within SECONDS before it, and those that ended while
the last checkpoints, two at most, were being written. A run that is interrupted (Ctrl-C, SIGTERM), fails or ends
writes what waits first and repeats at most the epoch it was in, unless the disk refuses: then it says so, and goes on
from the last checkpoint that was written.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from functions.checkpointing.retention import keep
from functions.runtime.distributed import is_main
from functions.runtime.exits import signals_ignored

THREAD = "checkpoint writer"
SECONDS = 30.0      # between two checkpoints: short epochs are cheaper to repeat than to write


def tensors(state) -> Iterator[Tensor]:
    """All tensors in a nest of dicts, lists and tuples."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, (dict, list, tuple)):
        for part in state.values() if isinstance(state, dict) else state:
            yield from tensors(part)


def tensor_bytes(state) -> int:
    """Bytes of all tensors in a nest of dicts, lists and tuples."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(state))


def copied(state):
    """The same nest of dicts, lists and tuples with a copy of every tensor on the CPU; pinned memory for a GPU's."""
    if isinstance(state, Tensor):
        if state.device.type != "cuda":
            return state.detach().to("cpu", copy=True)
        pinned = torch.empty(state.shape, dtype=state.dtype, pin_memory=True)
        return pinned.copy_(state.detach(), non_blocking=True)
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    return type(state)(map(copied, state)) if isinstance(state, (list, tuple)) else state


def snapshot(checkpoint: dict) -> dict:
    """A copy of a checkpoint that training cannot change any more: complete when this returns."""
    copy = copied(checkpoint)
    if any(tensor.is_cuda for tensor in tensors(checkpoint)):
        torch.cuda.synchronize()                  # until the asynchronous copies are done
    return copy


class CheckpointWriter:
    """Writes a run's checkpoints in a thread; used as a context, which ends when everything is on the disk.

    An error of the thread (a full disk) is raised by the next `submit` or `wait`, in the caller's thread.
    """

    def __init__(self, folder: Path, available_memory: Callable[[], int]):
        self.folder, self.available_memory = folder, available_memory
        self.waiting: list[tuple[dict, bool]] = []        # (checkpoint, is_best), at most the selected and the newest
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.written_at = -float("inf")
        self.hurry = threading.Event()                    # set while the caller waits for the disk: ignore the clock

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with signals_ignored():
            self.wait()

    def submit(self, checkpoint: dict, is_best: bool) -> None:
        """Takes a copy of `checkpoint` and returns; waits for the disk only where memory is too scarce for copies.

        Three copies may exist besides it: one that is being written, and two that wait.
        """
        self._raise()
        if not is_main():
            return
        if 2 * tensor_bytes(checkpoint) > self.available_memory():
            self.wait()
            keep(self.folder, checkpoint, is_best)
            return
        new = (snapshot(checkpoint), is_best)
        with self.lock:
            self._raise()
            self.waiting = [new] if is_best else [*(item for item in self.waiting if item[1]), new]
            if self.thread is None:
                self.thread = threading.Thread(target=self._write, name=THREAD)
                self.thread.start()

    def wait(self) -> None:
        """Returns when all that was submitted is on the disk."""
        self.hurry.set()
        if (thread := self.thread) is not None and thread.is_alive():
            thread.join()
        if self.waiting:                                  # an interruption came before the thread had begun
            self._write()
        self.hurry.clear()
        self._raise()

    def _raise(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _write(self) -> None:
        """Writes what waits, by the clock, until nothing does or the disk refuses."""
        while True:
            self.hurry.wait(max(0.0, self.written_at + SECONDS - time.monotonic()))
            with self.lock:
                items, self.waiting = self.waiting, []
            try:
                for item in items:                        # the selected epoch, and right after it the newest
                    keep(self.folder, *item)
            except BaseException as error:                # raised again in the caller's thread
                with self.lock:
                    self.error, self.waiting, self.thread = error, [], None
                return
            self.written_at = time.monotonic()
            with self.lock:
                if not self.waiting:
                    self.thread = None
                    return
