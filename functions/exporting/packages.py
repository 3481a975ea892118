"""The optional packages that exporting needs; a missing one is one line."""

from collections.abc import Iterable
from importlib.util import find_spec

from functions.runtime.errors import UserError

NEEDED = {"onnx": ("onnxscript", "onnxruntime"), "torch": (), "huggingface": ("transformers",),
          "push": ("huggingface_hub",)}


def check_packages(purposes: Iterable[str]) -> None:
    """Looks for what the formats, or "push", need; UserError, with the command that installs it, if one is missing."""
    for purpose in purposes:
        for package in NEEDED[purpose]:
            if find_spec(package) is None:
                flag = "--push" if purpose == "push" else f"--format {purpose}"
                raise UserError(f"{flag} needs the package {package}: pip install -r requirements-export.txt")
