"""Asynchronous checkpointing: the state is copied to the CPU, and a thread writes the copy to disk.

The training loop waits only for the copy. `functions.checkpointing.retention.retain` decides which files are written.

An epoch is written when it ends, but at most every SECONDS. If epochs are shorter, copies of the newest and of the
selected epoch are held in memory, and epochs in between are never written. A run that is killed (SIGKILL) repeats at
most the current epoch, the epochs that ended within the last SECONDS, and those that ended while the last (at most
two) checkpoints were being written. A run that is interrupted (Ctrl-C, SIGTERM), fails or ends writes the pending
copies first and repeats at most the current epoch. If the disk does not accept them, the run reports it and resumes
from the last written checkpoint.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from functions.checkpointing.retention import retain
from functions.runtime.distributed import is_main
from functions.runtime.exits import signals_ignored

THREAD = "checkpoint writer"
SECONDS = 30.0      # minimum interval between checkpoints: short epochs are cheaper to repeat than to write


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
    """A nest of dicts, lists and tuples with every tensor copied to the CPU; from a GPU, to pinned memory."""
    if isinstance(state, Tensor):
        if state.device.type != "cuda":
            return state.detach().to("cpu", copy=True)
        pinned = torch.empty(state.shape, dtype=state.dtype, pin_memory=True)
        return pinned.copy_(state.detach(), non_blocking=True)
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    return type(state)(map(copied, state)) if isinstance(state, (list, tuple)) else state


def snapshot(checkpoint: dict) -> dict:
    """A copy of a checkpoint that further training does not change; it is complete on return."""
    copy = copied(checkpoint)
    if any(tensor.is_cuda for tensor in tensors(checkpoint)):
        torch.cuda.synchronize()                  # until the asynchronous copies are done
    return copy


class CheckpointWriter:
    """Writes the checkpoints of a run in a thread; a context manager that exits when everything is on disk.

    An error in the thread (a full disk) is re-raised by the next `submit` or `wait` in the caller's thread.
    """

    def __init__(self, folder: Path, available_memory: Callable[[], int]):
        self.folder, self.available_memory = folder, available_memory
        self.pending: list[tuple[dict, bool]] = []        # (checkpoint, is_best), at most the selected and the newest
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.written_at = -float("inf")
        self.flush = threading.Event()                    # set while the caller waits: SECONDS does not apply
        self.ended = threading.Event()                    # set when `thread` ends; a new one for each thread

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with signals_ignored():
            self.wait()

    def submit(self, checkpoint: dict, is_best: bool) -> None:
        """Copies `checkpoint` and returns; writes synchronously only if there is not enough memory for copies.

        Up to three copies exist at a time: one being written and two pending.
        """
        self._raise()
        if not is_main():
            return
        if 2 * tensor_bytes(checkpoint) > self.available_memory():
            self.wait()
            retain(self.folder, checkpoint, is_best)
            return
        new = (snapshot(checkpoint), is_best)
        with self.lock:
            self._raise()
            self.pending = [new] if is_best else [*(item for item in self.pending if item[1]), new]
            if self.thread is None:
                self.ended = threading.Event()
                self.thread = threading.Thread(target=self._write_and_end, args=(self.ended,), name=THREAD)
                self.thread.start()

    def wait(self) -> None:
        """Returns when everything submitted is on disk."""
        self.flush.set()
        if (thread := self.thread) is not None and thread.is_alive():
            self.ended.wait()         # join(), interrupted by a signal, marks a running thread as finished (3.11, 3.12)
        if self.pending:                                  # interrupted before the thread had started
            self._write()
        self.flush.clear()
        self._raise()

    def _raise(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _write_and_end(self, ended: threading.Event) -> None:
        try:
            self._write()
        finally:
            ended.set()

    def _write(self) -> None:
        """Writes pending checkpoints at intervals of SECONDS until none is left or the disk fails."""
        while True:
            self.flush.wait(max(0.0, self.written_at + SECONDS - time.monotonic()))
            with self.lock:
                items, self.pending = self.pending, []
            try:
                for item in items:                        # the selected epoch, then the newest
                    retain(self.folder, *item)
            except BaseException as error:                # re-raised in the caller's thread
                with self.lock:
                    self.error, self.pending, self.thread = error, [], None
                return
            self.written_at = time.monotonic()
            with self.lock:
                if not self.pending:
                    self.thread = None
                    return
