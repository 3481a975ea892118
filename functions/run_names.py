"""What a run may be called, and whether its results can be written: asked first, before anything is computed."""

import tempfile
from pathlib import Path

from functions.errors import UserError

FORBIDDEN = set('<>:"/\\|?*')                     # in names on Windows, and below its devices' names, whatever follows
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {f"{port}{n}" for port in ("COM", "LPT")
                                                               for n in "123456789¹²³"}


def check_name(name: str) -> None:
    """ValueError unless a run can be called so: a plain folder name that leaves room for its files' endings.

    What Windows forbids is refused everywhere, since a run's folder is carried from one machine to another; the rules
    are those of Microsoft's "Naming Files, Paths, and Namespaces".
    """
    plain = name.isprintable() and not name.startswith(".") and not set(name) & FORBIDDEN
    windows = name.rstrip(". ") == name and name.partition(".")[0].rstrip().upper() not in DEVICES
    if not name or not plain or not windows or len(name.encode()) > 150:
        raise UserError(f"run name {name!r} is not a plain folder name of at most 150 bytes, as every system, Windows "
                        'too, can have it: without <>:"/\\|?*, no dot or space at its end, none of CON, NUL, COM1, …')


def check_writable(folder: Path) -> None:
    """ValueError unless files can be made in `folder`, or where it is to be made: asked before an hour is spent."""
    while not folder.is_dir():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder.resolve()} cannot be written to ({error.strerror}), but a run's results go there: "
                        "make it writable, or start from another folder") from None
