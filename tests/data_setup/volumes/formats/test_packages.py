import sys

import pytest

from data_setup.volumes.formats.packages import import_nibabel, import_pydicom
from functions.runtime.errors import UserError


def test_a_missing_package_is_one_line(monkeypatch):
    assert import_nibabel().__name__ == "nibabel"
    assert import_pydicom().uid.ImplicitVRLittleEndian.is_little_endian
    for name, imported in (("nibabel", import_nibabel), ("pydicom", import_pydicom)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=f"package {name}: pip install -r requirements-clinical.txt"):
            imported()
