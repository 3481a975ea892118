import os
import subprocess
import sys

import pytest
from PIL import Image

from data_setup.listing.class_folders import list_slices
from data_setup.listing.path_names import check_utf8
from functions.runtime.errors import UserError
from tests.conftest import ROOT


def test_names_in_any_script_are_fine():
    check_utf8(["a.png", "Größe/é.png", "認知症.png", "😀"], "file")


def test_a_name_that_is_not_utf8_is_named_before_the_work(tmp_path):
    for name in ("AD", "CN"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    os.rename(tmp_path / "CN" / "a.png", os.fsencode(tmp_path / "CN") + b"/b\xe9.png")
    with pytest.raises(UserError, match=r"file .*/CN/b\\xe9\.png is not UTF-8 \(1 such\): rename it"):
        list_slices({"train": tmp_path})


@pytest.mark.parametrize("arguments", [["--train_dir", "data"], ["--train_dir", "Größe"]])
def test_a_locale_without_the_letters_is_a_line(tmp_path, arguments):
    """LC_ALL=C where Python's UTF-8 mode, which would help, is switched off; nothing is left behind."""
    for name in ("data/Größe", "data/CN"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (32, 32)).save(tmp_path / name / "a.png")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, ROOT / "train.py", *arguments], cwd=tmp_path, env=environment,
                          capture_output=True)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"PYTHONUTF8=1" in done.stderr
    assert b"Gr" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
