"""The columns of results.csv, epoch by epoch, for TensorBoard and for Weights & Biases (--tensorboard, --wandb)."""

import json
import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from functions.runtime.distributed import is_main
from functions.runtime.errors import UserError

PROJECT = "ViT-Dementia"      # of Weights & Biases, unless WANDB_PROJECT names another


class Tracker(NamedTuple):
    """`log(row)` takes one row of results.csv by column; `close(code)` ends the log, code 0 if the run ended well."""

    log: Callable[[dict], None]
    close: Callable[[int], None]


def check_installed(settings: Namespace) -> None:
    """Raises UserError, before anything is read or trained, if a tracker's package is missing."""
    name = "tensorboard"
    try:
        if settings.tensorboard:
            import torch.utils.tensorboard  # noqa: F401
        name = "wandb"
        if settings.wandb:
            import wandb  # noqa: F401
    except ImportError as error:
        raise UserError(f"--{name} needs the package {name} ({error}): pip install {name}, or give --no_{name}"
                        ) from None


@contextmanager
def tracking(settings: Namespace, folder: Path, record: dict,
             table: pd.DataFrame) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function to call with the content of results.csv after each epoch, which logs its last row.

    `record` is run.json, and `table` the epochs of a resumed run. Only process 0 logs. A tracker that fails during the
    run is switched off with a warning, and training continues.
    """
    kinds = {"tensorboard": open_tensorboard, "wandb": open_wandb} if is_main() else {}
    rows = table.to_dict("records")
    trackers = {name: kind(folder, record, rows) for name, kind in kinds.items() if getattr(settings, name)}

    def attempt(action: str, argument) -> None:
        for name, tracker in list(trackers.items()):
            try:
                getattr(tracker, action)(argument)
            except Exception as error:          # of any kind: the run does not depend on it
                del trackers[name]
                print(f"WARNING  --{name} is switched off, it failed ({type(error).__name__}: {error}); results.csv "
                      "has its numbers")

    code = 1
    try:
        yield lambda table: attempt("log", table[-1:].to_dict("records")[0])
        code = 0
    finally:
        attempt("close", code)


def open_tensorboard(folder: Path, record: dict, rows: list[dict]) -> Tracker:
    """Event files in `folder`/tensorboard: one scalar per column, with the epoch as its step; run.json as text.

    They supersede earlier event files of the run (purge_step), whose epochs are written again, so that no epoch is
    missing and none is there twice.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=0)
    writer.add_text("run.json", f"```\n{json.dumps(record, indent=1)}\n```", len(rows))

    def log(row: dict) -> None:
        for column, value in row.items():
            if column != "epoch":
                writer.add_scalar(column, value, int(row["epoch"]))
        writer.flush()

    for row in rows:
        log(row)
    print(f"follow   tensorboard --logdir {folder}")
    return Tracker(log, lambda code: writer.close())


def open_wandb(folder: Path, record: dict, rows: list[dict]) -> Tracker:
    """A run of Weights & Biases with this run's name, id and settings, and the epoch as its step.

    A resumed run continues its log under the same id. WANDB_PROJECT, WANDB_MODE and wandb's other environment variables
    apply. Raises UserError if wandb cannot start, for example without a login.
    """
    import wandb

    try:
        run = wandb.init(project=os.environ.get("WANDB_PROJECT", PROJECT), name=folder.name,
                         id=record.get("run_id") or None, resume="allow", dir=str(folder), config=record["settings"],
                         settings=wandb.Settings(console="off"))
    except wandb.errors.Error as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"--wandb: {reason}; log in with wandb login, or set the environment variable "
                        "WANDB_MODE=offline, or give --no_wandb") from None

    def log(row: dict) -> None:
        run.log(row, step=int(row["epoch"]))

    for row in rows:
        if row["epoch"] >= run.step:          # wandb's steps only increase
            log(row)
    return Tracker(log, lambda code: run.finish(exit_code=code))
