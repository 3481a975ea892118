"""Atomic file writes: a kill or a full disk never leaves a partial file. Only process 0 writes."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from functions.runtime.distributed import is_main


class WriteError(OSError):
    """A file could not be written: the disk is full, read-only or missing."""


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object],
                     before_renaming: Callable[[], None] = lambda: None) -> None:
    """Calls `write(file)` on a temporary file in the same folder, flushes it to disk, then renames it to `path`.

    Readers see either the old file or the complete new one. If writing fails, the old file is kept and the error is
    re-raised; a disk error becomes a one-line OSError that names the file. `before_renaming` is called after the flush
    and before the rename. On Windows the rename raises PermissionError while another program has `path` open; the old
    file is kept in that case too.
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
            _raise_write_error(error, path)
        raise


def _raise_write_error(error: OSError | RuntimeError, path: Path) -> None:
    """Raises WriteError for a disk error, including one that torch.save has wrapped in a RuntimeError."""
    cause = error if isinstance(error, OSError) else error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        message = f"{cause.strerror}: {path} could not be written; its previous content is unchanged"
        raise WriteError(cause.errno, message) from None


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A draft folder beside `path` that is renamed to `path` at the end of the block.

    If the block fails, the draft is removed and there is no `path`. FileExistsError if `path` exists.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if os.path.lexists(path):              # os.rename would replace an empty folder
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(draft, path)
    except WriteError as error:                # its message names a file of the draft
        raise WriteError(error.errno, str(error.strerror).replace(str(draft), str(path))) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """Creates a hard link `target` to `source` atomically, or a copy where hard links are not supported."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        os.replace(temporary, target)
    except OSError:
        with open(source, "rb") as file:
            write_atomically(target, lambda copy: shutil.copyfileobj(file, copy))
    finally:                          # POSIX: renaming one hard link over another link of the same file does nothing
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: str | Path, content: dict) -> None:
    """Writes an indented JSON file atomically; non-finite numbers become null."""
    write_text(path, json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value):
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
