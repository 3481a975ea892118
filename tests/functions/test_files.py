import json
import pickle
from pathlib import Path

import pytest

from functions.files import write_atomically, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "results.csv"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the ne")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_holds_no_nan(tmp_path):
    write_json(tmp_path / "m.json", {"auroc": float("nan"), "low": [float("inf"), 0.5], 3: Path("x").name})
    assert json.loads((tmp_path / "m.json").read_text()) == {"auroc": None, "low": [None, 0.5], "3": "x"}


def test_bytes_arrive_whole(tmp_path):
    write_atomically(tmp_path / "curves.pkl", lambda file: pickle.dump({"train_loss": [0.5]}, file))
    assert pickle.loads((tmp_path / "curves.pkl").read_bytes()) == {"train_loss": [0.5]}
