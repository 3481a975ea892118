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


TWICE = """
import sys
import train
for folder in sys.argv[1:]:
    sys.argv = ["train.py", "--train_dir", folder]
    try:
        train.main()
    except SystemExit as end:
        print(f"exit code {end.code}", file=sys.stderr)
"""


def test_a_locale_without_the_letters_is_a_line(tmp_path):
    """LC_ALL=C where Python's UTF-8 mode, which would help, is switched off; nothing is left behind.

    Letters of a class folder, then of an argument, in one process.
    """
    for name in ("data/Größe", "data/CN"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (32, 32)).save(tmp_path / name / "a.png")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", TWICE, "data", "Größe"], cwd=tmp_path, capture_output=True,
                          env=environment | {"PYTHONPATH": str(ROOT)})
    lines = done.stderr.splitlines()
    assert lines[1::2] == [b"exit code 2"] * 2, done.stderr
    assert len(lines) == 4
    for line in lines[::2]:
        assert b"PYTHONUTF8=1" in line
        assert b"Gr" in line
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
