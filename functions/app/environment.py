"""What must be settled before Gradio is imported: no network, no settings from outside, a folder of its own."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from functions.runtime.errors import UserError

HOST = "127.0.0.1"


def check_gradio() -> None:
    """Raises UserError if Gradio is not installed."""
    if find_spec("gradio") is None:
        raise UserError("the page needs Gradio, which is not installed: pip install -r requirements-app.txt")


def check_port(port: int) -> None:
    """Raises UserError if another program listens on the port, or if the system does not permit it."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")    # as the server does
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise UserError(f"--port {port} cannot be used ({error.strerror}): is the page running already? "
                            "Choose another port") from None


@contextmanager
def isolated() -> Iterator[Path]:
    """A new folder for uploads, which is deleted at the end, and an environment in which Gradio stays on its own.

    Variables GRADIO_… could share the page or serve other folders, so they are removed; Gradio's reports of its use and
    its search for updates are off; no proxy stands between the page and this computer.
    """
    before = dict(os.environ)
    with TemporaryDirectory(prefix="vit-dementia-app-") as name:
        folder = Path(name).resolve()
        for variable in [variable for variable in os.environ if variable.startswith("GRADIO_")]:
            del os.environ[variable]
        os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", NO_PROXY="*", no_proxy="*",
                          HF_HUB_OFFLINE="1")
        try:
            yield folder
        finally:
            os.environ.clear()
            os.environ.update(before)


def discard(paths: list[str], folder: Path) -> None:
    """Deletes uploaded files and the folders that they were alone in; a path outside `folder` is left alone."""
    for path in map(Path, paths):
        whole = Path(os.path.abspath(path))
        if whole.is_file() and whole.is_relative_to(folder):
            whole.unlink(missing_ok=True)
            if whole.parent != folder and not any(whole.parent.iterdir()):
                whole.parent.rmdir()


def sweep(folder: Path, age: float) -> None:
    """Deletes the files below `folder` that are older than `age` seconds, and empty folders."""
    for path in sorted(folder.rglob("*"), reverse=True):           # a folder comes after what it holds
        try:
            if path.is_dir():
                path.rmdir()
            elif time.time() - path.stat().st_mtime > age:
                path.unlink()
        except OSError:                                            # not empty, or deleted meanwhile
            continue
