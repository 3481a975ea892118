"""The folder of a run: atomic creation, run.json, and the lock of the training process."""

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from filelock import BaseFileLock, FileLock, Timeout

from functions.checkpointing.run_names import check_name
from functions.checkpointing.run_record import parse_record
from functions.config.recipes import MOVABLE
from functions.config.settings import device_name
from functions.runtime.atomic_files import WriteError, write_atomically, write_json, write_text
from functions.runtime.csv_files import to_csv
from functions.runtime.distributed import is_main
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.exits import interrupted, one_line_message, peer_lost, signals_ignored

LOCK, PID_FILE = "process.lock", "process.pid"     # held by the process that trains the run; its id, for messages
LIBRARIES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "pillow")
_claims: dict[Path, BaseFileLock] = {}     # run folder → lock held by this process


def create_run(name: str, record: dict, split: pd.DataFrame, root: Path = Path("runs")) -> Path:
    """Creates `root/name` (or name-2, name-3, … if it exists) with run.json and split.csv, and returns it.

    The folder is written under a temporary name and renamed, so an existing run can always be resumed, and two runs
    started at the same time under one name get two folders. A name that differs only in case counts as existing,
    because Windows and macOS do not distinguish case. Raises UserError for a name that is not a plain folder name.
    """
    check_name(name)
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file, but must be a folder for runs: remove or rename it")
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".{name}.{os.getpid()}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    write_table(draft / "split.csv", split)
    record = record | {"run_id": uuid.uuid4().hex, "split_sha256": _sha256(draft / "split.csv")}
    taken = {path.name.casefold() for path in root.iterdir()}
    number = 1
    while True:
        final = root / (name if number == 1 else f"{name}-{number}")
        write_json(draft / "run.json", record | {"name": final.name})
        try:
            if final.exists() or final.name.casefold() in taken:
                raise FileExistsError
            os.rename(draft, final)
        except OSError as error:
            if not (final.exists() or isinstance(error, FileExistsError)):
                raise
            number += 1
            continue
        return final


def read_record(run: Path) -> dict:
    """run.json of a run folder; raises UserError if it is missing or damaged."""
    path = run / "run.json"
    if why := not_a_file(path):
        raise UserError(f"{run} is not a run folder: " + (
            "it holds no run.json" if why == "no such file" else f"its run.json is {why}"))
    return parse_record(path.read_bytes(), path)


def check_same_run(checkpoint: dict, file: Path, run_id: str) -> None:
    """Raises UserError unless a checkpoint in a run's folder was written by the run with id `run_id`."""
    if checkpoint["run_id"] != run_id:
        raise UserError(f"checkpoint {file} was written by another run than {file.parent / 'run.json'} describes")


def requested_device(flags: dict) -> str:
    """The device given by the flags of a training script; for a resumed run without --device, its recorded one."""
    if "device" in flags or "resume" not in flags:
        return flags.get("device", "auto")
    device = read_record(flags["resume"])["settings"].get("device", "auto")
    try:
        return device_name(device)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{flags['resume'] / 'run.json'}: settings: device: {error}") from None


def resume_command(run: Path, record: dict) -> str:
    """The shell command that resumes a run, with the script that started it."""
    script = "train_transferlearning.py" if "weights" in record["settings"] else "train.py"
    return f"python {script} --resume {shlex.quote(str(run))}"


def losses_file(run: Path, record: dict) -> Path:
    """The pickle of a run's curves; its name does not change when the folder is renamed."""
    return run / f"{record.get('name') or run.name}_losses.pkl"


def check_split(run: Path, record: dict) -> None:
    """Raises UserError unless split.csv is unchanged since this run wrote it."""
    path = run / "split.csv"
    if why := not_a_file(path):
        lost = f"{run} has lost its split.csv" if why == "no such file" else f"{path} is {why}"
        raise UserError(f"{lost}: restore it, or start a new run")
    known = {record.get("split_sha256"), record.get("moved_split_sha256")} - {None}
    if known and _sha256(path) not in known:
        raise UserError(f"{path} is damaged or was changed since this run began: restore the old one, or start a new "
                        f"run, with --split {path} if the change was intended")


def write_moved_split(run: Path, before: dict, now: dict, split: pd.DataFrame) -> dict:
    """Rewrites split.csv if the data or the working folder have moved; returns the new entries of run.json.

    `before` and `now` are the recorded settings. After a kill in between, run.json still has the hash of split.csv.
    """
    if all(before.get(name) == now.get(name) for name in ("cwd", *MOVABLE)):
        return {}
    content = to_csv(split).encode("utf-8")
    digest = hashlib.sha256(content).hexdigest()
    update_record(run, moved_split_sha256=digest)
    write_atomically(run / "split.csv", lambda file: file.write(content))
    return {"split_sha256": digest, "moved_split_sha256": None}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def update_record(run: Path, **changes) -> None:
    """Changes entries of run.json, atomically."""
    write_json(run / "run.json", read_record(run) | changes)


def claim(run: Path) -> None:
    """Locks a run for this process until `release`; the operating system drops the lock when the process ends.

    Raises UserError if another process is training the run.
    """
    if run.resolve() in _claims:
        return
    if os.path.lexists(run / LOCK) and ((run / LOCK).is_symlink() or not_a_file(run / LOCK)):
        raise UserError(f"{run / LOCK} is a link, or no regular file: remove it")
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = "?" if not_a_file(run / PID_FILE) else (run / PID_FILE).read_text(errors="replace")[:20]
        raise UserError(f"{run} is being trained by process {holder}: wait for it, or stop it first") from None
    _claims[run.resolve()] = lock
    write_text(run / PID_FILE, str(os.getpid()))         # replaces what has its name, and follows no link


def release(run: Path) -> None:
    """Releases the lock of a run."""
    (run / PID_FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):       # Windows does not remove open files; the library does it later
        (run / LOCK).unlink(missing_ok=True)
    _claims.pop(run.resolve()).release()


@contextlib.contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Locks a run and records in run.json how it ended: interrupted, failed with its traceback, …

    Raises UserError if another process is training it. With torchrun, process 0 does this for all.
    """
    advice = f"continue with --resume {run} from the last saved epoch"
    if not is_main():
        try:
            yield
        except RuntimeError as error:
            raise (ConnectionError(f"{one_line_message(error)}; {advice}") if peer_lost(error) else error) from None
        return
    claim(run)
    try:
        update_record(run, state="running", error=None)
        yield
    except BaseException as error:
        with signals_ignored(), contextlib.suppress(OSError):      # the original error is reported, not a full disk
            no_reader = isinstance(error, BrokenPipeError)         # the reader of a pipe exited: `| head`
            stopped = isinstance(error, KeyboardInterrupt) or (interrupted() and not isinstance(error, WriteError))
            ended = {"state": "failed", "error": traceback.format_exc()}
            if stopped or no_reader:
                ended = {"state": "interrupted"}
            update_record(run, **ended)
        if stopped:
            raise KeyboardInterrupt(advice) from None
        if peer_lost(error):
            raise ConnectionError(f"{one_line_message(error)}; {advice}") from None
        if isinstance(error, OSError) and not no_reader:
            raise OSError(f"{one_line_message(error)}; {advice}") from error
        raise
    finally:
        with signals_ignored():
            release(run)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a CSV atomically; text that a spreadsheet would evaluate as a formula is escaped (csv_files.py)."""
    write_atomically(path, lambda file: file.write(to_csv(table).encode("utf-8")))


def this_command() -> str:
    """The command line in shell syntax."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def provenance() -> dict:
    """Command, git commit ("+changes" if the tree is dirty), library versions."""
    return {
        "command": this_command(),
        "commit": _git_commit(),
        "versions": {"python": sys.version.split()[0]} | {library: version(library) for library in LIBRARIES},
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
    }


def _git_commit() -> str | None:
    code = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(code), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + ("+changes" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
