import sys

import pytest

from functions.exporting.packages import NEEDED, check_packages
from functions.runtime.errors import UserError
from tests.conftest import ROOT


@pytest.mark.parametrize(("purpose", "package", "flag"), [
    ("onnx", "onnxruntime", "--format onnx"), ("onnx", "onnxscript", "--format onnx"),
    ("huggingface", "transformers", "--format huggingface"), ("push", "huggingface_hub", "--push")])
def test_a_missing_package_is_one_line_with_the_command_that_installs_it(purpose, package, flag, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    advice = "pip install -r requirements-export.txt"
    with pytest.raises(UserError, match=f"^{flag} needs the package {package}: {advice}$"):
        check_packages(["torch", purpose])


def test_torchs_own_format_needs_nothing_more(monkeypatch):
    for package in {name for names in NEEDED.values() for name in names}:
        monkeypatch.setitem(sys.modules, package, None)
    check_packages(["torch"])


def test_every_package_is_required_by_that_file():
    required = (ROOT / "requirements-export.txt").read_text(encoding="utf-8")
    assert all(f"\n{package}>=" in required for names in NEEDED.values() for package in names)
