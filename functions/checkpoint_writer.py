"""Saving while training goes on: a copy of the state on the CPU, written to the disk by a thread.

The loop waits only for the copy. What is kept, under which names and in which order, is `checkpoint_files.keep`'s.

An epoch is written when it ends, but not sooner than SECONDS after the last one was. If epochs end faster than that,
the newest and the selected one wait, as copies, and those between them are never written. So a run that is killed
(SIGKILL) repeats at most the epoch it was in and what came before it within SECONDS and the time that two checkpoints
take to write. A run that is interrupted (Ctrl-C, SIGTERM), fails or ends writes everything first, and repeats at most
the epoch it was in.
"""

import threading
import time
from pathlib import Path
from types import TracebackType

import psutil
import torch
from torch import Tensor

from functions.checkpoint_files import keep
from functions.distributed import is_main
from functions.exits import signals_held

THREAD = "checkpoint writer"
SECONDS = 30.0      # between two checkpoints: short epochs are cheaper to repeat than to write


def tensor_bytes(state) -> int:
    """Bytes of all tensors in a nest of dicts, lists and tuples."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        state = state.values()
    return sum(map(tensor_bytes, state)) if isinstance(state, (list, tuple, type({}.values()))) else 0


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
    if torch.cuda.is_available():
        torch.cuda.synchronize()                  # 1 GB takes some 40 ms over PCIe 4
    return copy


class CheckpointWriter:
    """Writes a run's checkpoints in a thread; used as a context, which ends when everything is on the disk.

    An error of the thread (a full disk) is raised by the next `submit` or `wait`, in the caller's thread.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.waiting: list[tuple[dict, bool]] = []        # (checkpoint, is_best), at most the selected and the newest
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None
        self.written_at = -float("inf")
        self.hurry = threading.Event()                    # somebody waits for the disk: now, not by the clock

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with signals_held():
            self.wait()

    def submit(self, checkpoint: dict, is_best: bool) -> None:
        """Takes a copy of `checkpoint` and returns; waits for the disk only where memory is too scarce for a copy."""
        self._raise()
        if not is_main():
            return
        if tensor_bytes(checkpoint) > psutil.virtual_memory().available / 2:
            self.wait()
            keep(self.folder, checkpoint, is_best)
            return
        copy = snapshot(checkpoint)
        with self.lock:
            self.waiting = [] if is_best else [item for item in self.waiting if item[1]]
            self.waiting.append((copy, is_best))
            if self.thread is None:
                self.thread = threading.Thread(target=self._write, name=THREAD)
                self.thread.start()

    def wait(self) -> None:
        """Returns when all that was submitted is on the disk."""
        self.hurry.set()
        if thread := self.thread:
            thread.join()
        self.hurry.clear()
        self._raise()

    def _raise(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def _write(self) -> None:
        while True:
            if self.waiting:
                self.hurry.wait(max(0.0, self.written_at + SECONDS - time.monotonic()))
            with self.lock:
                if not self.waiting or self.error:
                    self.waiting, self.thread = [], None
                    return
                checkpoint, is_best = self.waiting.pop(0)
            try:
                keep(self.folder, checkpoint, is_best)
            except BaseException as error:        # raised again in the caller's thread
                self.error = error
            self.written_at = time.monotonic()
