"""Writing files so that a kill or a full disk never leaves half of one; of several processes only process 0 writes."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from functions.runtime.distributed import is_main


class WriteError(OSError):
    """The disk refused a file: full, read-only, gone."""


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object],
                     before_renaming: Callable[[], None] = lambda: None) -> None:
    """Lets `write(file)` fill a temporary neighbour, flushes it to the disk, then renames it to `path`.

    Readers see the old file or the whole new one. If writing fails the old file stands and the error goes on: an
    OSError, one line naming the file, where the disk is the reason. `before_renaming` is called in between, when the
    new one is safe on the disk and the old one still in place. On Windows a rename fails (PermissionError) while
    another program holds `path` open; then, too, the old file stands.
    """
    if not is_main():
        return
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        before_renaming()
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)):
            _name_the_file(error, path)
        raise


def _name_the_file(error: OSError | RuntimeError, path: Path) -> None:
    """OSError, one line, if the disk refused; torch.save turns that into a RuntimeError about its own positions."""
    refusal = error if isinstance(error, OSError) else error.__context__
    if isinstance(refusal, OSError) and refusal.strerror:
        what = f"{refusal.strerror}: {path} could not be written, what it held before is whole"
        raise WriteError(refusal.errno, what) from None


def link(source: Path, target: Path) -> None:
    """Gives the file `source` a second name `target`, atomically; a copy where the file system has no hard links."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:
        with open(source, "rb") as file:
            write_atomically(target, lambda copy: shutil.copyfileobj(file, copy))
    finally:                          # renaming one name of a file to another of its names does nothing (POSIX)
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """A text file, UTF-8, atomically."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: str | Path, content: dict) -> None:
    """A JSON file, indented, atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value):
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
