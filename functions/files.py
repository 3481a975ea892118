"""Writing files so that a kill or a full disk never leaves half of one; of several processes only process 0 writes."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from functions.distributed import is_main


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Lets `write(file)` fill a temporary neighbour, flushes it to the disk, then renames it to `path`.

    Readers see the old file or the whole new one. If writing fails the old file stands and the error goes on.
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
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


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
