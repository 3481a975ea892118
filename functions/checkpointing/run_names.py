"""Checks of run names and output folders, made before anything is computed."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from functions.runtime.errors import UserError, printable
from functions.runtime.json_files import read_json

FORBIDDEN = set('<>:"/\\|?*')                     # in file names on Windows, as are its device names with any suffix
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {f"{port}{n}" for port in ("COM", "LPT")
                                                               for n in "123456789¹²³"}


def check_name(name: str, max_bytes: int = 150) -> None:
    """Raises UserError unless `name` is a plain folder name that leaves room for file suffixes.

    Names that Windows forbids are rejected on every system, since run folders are copied between machines. Source:
    Microsoft, "Naming Files, Paths, and Namespaces".
    """
    plain = name.isprintable() and not name.startswith(".") and not set(name) & FORBIDDEN
    windows = name.rstrip(". ") == name and name.partition(".")[0].rstrip().upper() not in DEVICES
    if not name or not plain or not windows or len(name.encode()) > max_bytes:
        raise UserError(f"run name {name!r:.60} is not a plain folder name of at most {max_bytes} bytes, valid on "
                        'every system including Windows: no <>:"/\\|?*, no dot or space at the end, not CON, NUL, …')


def check_writable(folder: Path, advice: str = "start from another folder") -> None:
    """Raises UserError unless files can be created in `folder`, or in the closest parent that exists."""
    while not folder.is_dir():
        if os.path.lexists(folder):
            what = "a broken link" if folder.is_symlink() and not folder.exists() else "a file"
            raise UserError(f"{folder} is {what}, but must be a folder: remove or rename it, or {advice}")
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder.resolve()} is not writable ({error.strerror}), but results are written there: "
                        f"make it writable, or {advice}") from None


def check_file_writable(file: Path, flag: str) -> None:
    """Raises UserError unless `file`, the value of `flag`, can be written: not a folder, and its folder exists."""
    if file.is_dir() or not file.parent.is_dir():
        reason = "is a folder" if file.is_dir() else f"is in {file.parent}, which is not a folder"
        raise UserError(f"{flag} {file} {reason}: name a file in an existing folder")
    check_writable(file.parent, f"name another file with {flag}")


def check_no_input(folder: Path, outputs: Sequence[str], inputs: Iterable[Path | None]) -> None:
    """UserError where one of the files that are written into `folder` is one of those that are read."""
    for name in outputs:
        for given in inputs:
            if given is not None and (folder / name).is_file() and given.is_file() and given.samefile(folder / name):
                raise UserError(f"{given} would be overwritten by this script's own {name}: name another folder with "
                                "--out")


def check_same_data(result: Path, data: str | None, run_id: str = "") -> None:
    """Raises UserError if `result`, a JSON file that would be overwritten, is of other "data" or of another run.

    Results of older versions without these entries, and damaged ones, are overwritten.
    """
    try:
        content = read_json(result)
    except UserError:
        return
    if "data" in content and content["data"] != data:
        other = printable(content["data"] or "the run's own test set")
        raise UserError(f"{result} holds the results of {other}: name another folder with --out, or remove it")
    if run_id and content.get("run_id", run_id) not in ("", run_id):
        raise UserError(f"{result} holds the results of another run: name another folder with --out, or remove it")


def make_folder(folder: Path, flag: str = "--out") -> None:
    """Creates the output folder (`flag` or its default); raises UserError if it cannot be created or written to."""
    advice = f"name another folder with {flag}"
    check_writable(folder, advice)
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder, advice)
