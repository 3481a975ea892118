"""nibabel and pydicom, which only volumes need; a missing one is one line."""

import importlib
from types import ModuleType

from functions.runtime.errors import UserError


def need(package: str) -> ModuleType:
    """The imported package (nibabel or pydicom); UserError, with the command that installs it, if it is missing."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UserError(f"volumes need the package {package}: pip install -r requirements-clinical.txt") from None
