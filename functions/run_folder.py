"""A run's folder: made whole or not at all, and the record of what was run."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import torch

from functions.distributed import is_main, others_lost
from functions.files import write_atomically, write_json

LOCK = "process.pid"
LIBRARIES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "pillow")


def check_name(name: str) -> None:
    """ValueError unless a run can be called so: a plain folder name that leaves room for its files' endings."""
    plain = Path(name).name == name and not name.startswith(".") and name.isprintable()
    if not name or not plain or len(name.encode()) > 150:
        raise ValueError(f"run name {name!r} is not a plain folder name of at most 150 bytes")


def create_run(name: str, record: dict, split: pd.DataFrame, root: Path = Path("runs")) -> Path:
    """Makes `root/name` (or name-2, name-3, … if taken) holding run.json and split.csv, and returns it.

    The folder is built aside and renamed, so a run that exists can always be resumed, and two runs started at once
    under one name get two folders. ValueError for a name that is no plain folder name.
    """
    check_name(name)
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file, so no run folder can be made in it: move it away")
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".{name}.{os.getpid()}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    split.to_csv(draft / "split.csv", index=False)
    number = 1
    while True:
        final = root / (name if number == 1 else f"{name}-{number}")
        write_json(draft / "run.json", record | {"name": final.name})
        try:
            if final.exists():
                raise FileExistsError
            os.rename(draft, final)
        except OSError:
            if not final.exists():
                raise
            number += 1
            continue
        return final


def read_record(run: Path) -> dict:
    """run.json of a run folder; ValueError, one line, where there is none or it is damaged."""
    path = run / "run.json"
    if not path.is_file():
        raise ValueError(f"{run} is not a run folder: it holds no run.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): start a new run") from None
    needed = {"settings", "fingerprint", "state", "stamps", "class_names"}
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict) or needed - set(record):
        raise ValueError(f"{path} is damaged (it lacks what a run writes into it): start a new run")
    return record


def update_record(run: Path, **changes) -> None:
    """Changes entries of run.json, atomically."""
    write_json(run / "run.json", read_record(run) | changes)


def check_free(run: Path) -> None:
    """ValueError if another process is training this run."""
    lock = run / LOCK
    other = lock.read_text() if lock.exists() else ""
    if other.isdigit() and int(other) != os.getpid() and psutil.pid_exists(int(other)):
        raise ValueError(f"{run} is being trained by process {other} (if that is something else, delete {lock})")


@contextlib.contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Keeps a run to one process, and writes into run.json how it ended: interrupted, failed with its traceback, …

    ValueError if another process is training it. Of those that torchrun started, process 0 does this for all.
    """
    if not is_main():
        yield
        return
    check_free(run)
    lock = run / LOCK
    lock.write_text(str(os.getpid()))
    update_record(run, state="running", error=None)
    try:
        yield
    except KeyboardInterrupt:
        update_record(run, state="interrupted")
        raise KeyboardInterrupt(f"all finished epochs are saved; go on with --resume {run}") from None
    except BaseException as error:
        update_record(run, state="failed", error=traceback.format_exc())
        if others_lost(error):
            raise ConnectionError("another process of this run has died (its own message is above or below); "
                                  f"all finished epochs are saved; go on with --resume {run}") from None
        raise
    finally:
        lock.unlink(missing_ok=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A CSV, atomically."""
    write_atomically(path, lambda file: file.write(table.to_csv(index=False).encode("utf-8")))


def this_command() -> str:
    """The command line, as a shell would take it again."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def provenance() -> dict:
    """Command, git commit (with "+changes" if the tree had any), library versions."""
    return {
        "command": this_command(),
        "commit": _git_commit(),
        "versions": {"python": sys.version.split()[0]} | {library: version(library) for library in LIBRARIES},
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


def _git_commit() -> str | None:
    code = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(code), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + ("+changes" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
