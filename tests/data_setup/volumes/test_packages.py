import sys

import pytest

from data_setup.volumes.packages import need
from functions.runtime.errors import UserError


def test_a_missing_package_is_one_line(monkeypatch):
    assert need("nibabel").__name__ == "nibabel"
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match="pip install -r requirements-clinical.txt"):
        need("pydicom")
