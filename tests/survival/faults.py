"""What can go wrong with a run, planted in its own process just before train.main() is called."""

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import Counter

import psutil
import torch

import data_setup.loading.dataloaders
from functions import engine
from functions.checkpointing import writer as checkpoint_writer
from functions.checkpointing.writer import THREAD, CheckpointWriter

PHASES = {"create_run": "start-up", "train_step": "epoch", "retain": "checkpoint", "conclude": "results"}


def kill_at(call, number=signal.SIGKILL, group=False, writing=False, pause=0.0):
    """A signal, unless another is given SIGKILL, at the n-th call (of Python or C) of the main thread.

    `writing`: of the thread that writes checkpoints. `pause`: seconds between two checkpoints.
    """
    checkpoint_writer.SECONDS = pause
    seen = 0

    def profile(frame, event, argument):
        nonlocal seen
        if writing and threading.current_thread().name != THREAD:
            return
        seen += event in ("call", "c_call")
        if seen == call:
            sys.setprofile(None)
            (os.killpg if group else os.kill)(0 if group else os.getpid(), number)

    (threading if writing else sys).setprofile(profile)


def kill_at_rename(n):
    """SIGKILL just before the n-th finished file would replace the old one."""
    rename, seen = os.replace, 0

    def replace(*paths):
        nonlocal seen
        seen += 1
        if seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*paths)

    os.replace = replace


def count_calls():
    """calls.json: at which calls the phases of a run begin and end, [phase, first, last] each.

    The phase "checkpoint" is counted in calls of the thread that writes checkpoints, the others in the main thread's.
    """
    seen, begun, found = Counter(), {}, []

    def profile(frame, event, argument):
        thread, name = threading.current_thread().name, frame.f_code.co_name
        seen[thread] += event in ("call", "c_call")
        if name in PHASES and event == "call":
            begun[name] = seen[thread]
        elif name in PHASES and event == "return":
            found.append([PHASES[name], 1 if name == "create_run" else begun[name], seen[thread]])
            with open("calls.json", "w", encoding="utf-8") as file:
                json.dump(found, file)

    sys.setprofile(profile)
    threading.setprofile(profile)


def save_every_epoch():
    """Short epochs, too, are written when they end: by the clock, three of them would be one checkpoint."""
    checkpoint_writer.SECONDS = 0.0


def wait_for_checkpoints(change=setattr):
    """Every epoch is on disk before the next one begins; otherwise one that ends while the thread writes is skipped.

    `change` is setattr or monkeypatch.setattr.
    """
    submit = CheckpointWriter.submit

    def submit_and_wait(writer, checkpoint, is_best):
        submit(writer, checkpoint, is_best)
        writer.wait()

    change(CheckpointWriter, "submit", submit_and_wait)


def log_epochs():
    """epochs.txt: a line for every epoch that begins, in this process or a later one."""
    def log(model, dataloader):
        with open("epochs.txt", "a", encoding="utf-8") as file:
            file.write("begun\n")

    _before_training(log)


def at_epoch(epoch, act, *arguments):
    """Calls `act(model, dataloader, *arguments)` before this process's n-th epoch; what it returns are the batches."""
    seen = 0

    def count(model, dataloader):
        nonlocal seen
        seen += 1
        return act(model, dataloader, *arguments) if seen == epoch else None

    _before_training(count)


def _before_training(call):
    train_step = engine.train_step

    def spoiled(model, dataloader, *arguments, **options):
        return train_step(model, call(model, dataloader) or dataloader, *arguments, **options)

    engine.train_step = spoiled


def wait(model, dataloader, file):
    """Writes `file`, then waits to be ended from outside."""
    with open(file, "w", encoding="utf-8") as out:
        out.write(str(os.getpid()))
    time.sleep(100)


def spoil_a_weight(model, dataloader):
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")


class OneBadBatch:
    """Batches of which the third holds a pixel that is no number."""

    def __init__(self, dataloader):
        self.dataloader = dataloader

    def __len__(self):
        return len(self.dataloader)

    def __iter__(self):
        for step, (images, labels) in enumerate(self.dataloader):
            if step == 2:
                images = images.clone()
                images[0, 0, 0, 0] = float("nan")
            yield images, labels


def spoil_a_batch(model, dataloader):
    return OneBadBatch(dataloader)


def remove(model, dataloader, path):
    os.rename(path, f"{path}.away")


def change(model, dataloader, path, other):
    """Another picture takes a picture's place: as valid, as large."""
    os.rename(path, f"{path}.away")
    with open(path, "wb") as out, open(other, "rb") as source:
        out.write(source.read())


def kill_a_worker(model, dataloader, which):
    """SIGKILL for one of the processes that read slices, while the others go on."""
    class Batches:
        def __len__(self):
            return len(dataloader)

        def __iter__(self):
            for step, batch in enumerate(dataloader):
                if step == 1:
                    psutil.Process().children()[which].kill()
                yield batch

    return Batches()


def read_from_disk(then=None):
    """Slices do not fit in memory, and are read in every epoch."""
    data_setup.loading.dataloaders.fits_in_memory = lambda num_bytes: False
    if then:
        then()


def fill_the_disk(epoch, filler, left=0):
    """`left` bytes fit on the run's disk when this process's n-th checkpoint is written: `filler` takes the rest."""
    def fill():
        with open(filler, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            file.truncate(os.path.getsize(filler) - left)

    _at_checkpoint(epoch, fill)


def files_of_at_most(epoch, size):
    """Files cannot grow beyond `size` bytes from the n-th checkpoint on: a full disk without one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    _at_checkpoint(epoch, limit)


def _at_checkpoint(epoch, act):
    retain, seen = checkpoint_writer.retain, 0

    def spoiled(*arguments):
        nonlocal seen
        seen += 1
        if seen == epoch:
            act()
        return retain(*arguments)

    checkpoint_writer.retain = spoiled
    wait_for_checkpoints()


def as_nobody():
    """The user who may write nowhere."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
