"""nibabel and pydicom, which only volumes need; a missing one is one line."""

from types import ModuleType

from functions.runtime.errors import UserError


def import_nibabel() -> ModuleType:
    """nibabel; UserError, with the command that installs it, if it is missing."""
    try:
        import nibabel
    except ModuleNotFoundError as error:
        raise _missing("nibabel", error) from None
    return nibabel


def import_pydicom() -> ModuleType:
    """pydicom with its modules; UserError, with the command that installs it, if it is missing."""
    try:
        import pydicom
        import pydicom.config
        import pydicom.dataset
        import pydicom.pixels
        import pydicom.uid
    except ModuleNotFoundError as error:
        raise _missing("pydicom", error) from None
    return pydicom


def _missing(package: str, error: ModuleNotFoundError) -> Exception:
    if error.name != package:                   # something that the package itself needs
        return error
    return UserError(f"volumes need the package {package}: pip install -r requirements-clinical.txt")
