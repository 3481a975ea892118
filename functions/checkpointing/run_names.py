"""What a run may be called, and whether its results can be written: asked first, before anything is computed."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from functions.runtime.errors import UserError

FORBIDDEN = set('<>:"/\\|?*')                     # in names on Windows, and below its devices' names, whatever follows
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {f"{port}{n}" for port in ("COM", "LPT")
                                                               for n in "123456789¹²³"}


def check_name(name: str, most_bytes: int = 150) -> None:
    """ValueError unless a run can be called so: a plain folder name that leaves room for its files' endings.

    What Windows forbids is refused everywhere, since a run's folder is carried from one machine to another; the rules
    are those of Microsoft's "Naming Files, Paths, and Namespaces".
    """
    plain = name.isprintable() and not name.startswith(".") and not set(name) & FORBIDDEN
    windows = name.rstrip(". ") == name and name.partition(".")[0].rstrip().upper() not in DEVICES
    if not name or not plain or not windows or len(name.encode()) > most_bytes:
        raise UserError(f"run name {name!r:.60} is not a plain folder name of at most {most_bytes} bytes, as every "
                        'system, Windows too, can have it: without <>:"/\\|?*, no dot or space at its end, none of '
                        "CON, NUL, COM1, …")


def check_writable(folder: Path, advice: str = "start from another folder") -> None:
    """UserError unless files can be made in `folder`, or where it is to be made: asked before an hour is spent."""
    while not folder.is_dir():
        if os.path.lexists(folder):
            what = "a link to nothing" if folder.is_symlink() and not folder.exists() else "a file"
            raise UserError(f"{folder} is {what}, and a folder of that name is needed: move it away, or {advice}")
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder.resolve()} cannot be written to ({error.strerror}), but results go there: "
                        f"make it writable, or {advice}") from None


def check_file_writable(file: Path, flag: str) -> None:
    """UserError unless `file`, which `flag` names, can be written: it is no folder, and its folder exists."""
    if file.is_dir() or not file.parent.is_dir():
        why = "is a folder" if file.is_dir() else f"lies in {file.parent}, which is no folder"
        raise UserError(f"{flag} {file} {why}: name a file in a folder that exists")
    check_writable(file.parent, f"name another file with {flag}")


def check_no_input(folder: Path, outputs: Sequence[str], inputs: Iterable[Path | None]) -> None:
    """UserError where one of the files that are written into `folder` is one of those that are read."""
    for name in outputs:
        for given in inputs:
            if given is not None and (folder / name).is_file() and given.is_file() and given.samefile(folder / name):
                raise UserError(f"{given} would be overwritten by this script's own {name}: name another folder with "
                                "--out")


def make_folder(folder: Path) -> None:
    """Makes the folder that --out names, or its default; UserError if it cannot be made or written to."""
    advice = "name another folder with --out"
    check_writable(folder, advice)
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder, advice)
