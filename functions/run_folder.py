"""A run's folder: made whole or not at all, and the record of what was run."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from functions.files import write_atomically, write_json

LIBRARIES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "pillow")


def create_run(name: str, record: dict, split: pd.DataFrame, root: Path = Path("runs")) -> Path:
    """Makes `root/name` (or name-2, name-3, … if taken) holding run.json and split.csv, and returns it.

    The folder is built aside and renamed, so a run that exists can always be resumed, and two runs started at once
    under one name get two folders. ValueError for a name that is no plain folder name.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f'run name "{name}" is not a plain folder name')
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
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): start a new run") from None


def update_record(run: Path, **changes) -> None:
    """Changes entries of run.json, atomically."""
    write_json(run / "run.json", read_record(run) | changes)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A CSV, atomically."""
    write_atomically(path, lambda file: file.write(table.to_csv(index=False).encode("utf-8")))


def provenance() -> dict:
    """Command, git commit (with "+changes" if the tree had any), library versions."""
    return {
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
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
