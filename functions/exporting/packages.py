"""The optional packages that exporting needs; a missing one is one line."""

import importlib
from collections.abc import Iterable

from functions.runtime.errors import UserError

NEEDED = {"onnx": ("onnxscript", "onnxruntime"), "torch": (), "huggingface": ("transformers",),
          "push": ("huggingface_hub",)}


def check_packages(purposes: Iterable[str]) -> None:
    """Imports what the formats, or "push", need; UserError, with the command that installs it, if one is missing."""
    for purpose in purposes:
        for package in NEEDED[purpose]:
            try:
                importlib.import_module(package)
            except ImportError as error:
                flag = "--push" if purpose == "push" else f"--format {purpose}"
                raise UserError(f"{flag} needs the package {package} ({' '.join(str(error).split())[:100]}): "
                                "pip install -r requirements-export.txt") from None
