import errno
import json
import os
import pickle
from pathlib import Path

import pytest

from functions.runtime.atomic_files import WriteError, link, new_folder, write_atomically, write_json, write_text


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


def test_a_second_name_is_no_second_copy_and_replaces_the_old_file(tmp_path):
    write_text(tmp_path / "last.pt", "epoch 2")
    write_text(tmp_path / "best.pt", "epoch 1")
    for _ in range(2):             # again, when it is a name of that file already
        link(tmp_path / "last.pt", tmp_path / "best.pt")
        assert (tmp_path / "best.pt").samefile(tmp_path / "last.pt")
        assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "last.pt", "epoch 3")
    assert (tmp_path / "best.pt").read_text() == "epoch 2"


def test_without_hard_links_it_is_a_copy(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("functions.runtime.atomic_files.os.link", refuse)
    write_text(tmp_path / "last.pt", "epoch 2")
    link(tmp_path / "last.pt", tmp_path / "best.pt")
    assert (tmp_path / "best.pt").read_text() == "epoch 2"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_has_to_happen_before_the_old_file_goes_happens_after_the_new_one_is_whole(tmp_path):
    path = tmp_path / "last.pt"
    write_text(path, "old")
    write_atomically(path, lambda file: file.write(b"new"), lambda: link(path, tmp_path / "previous.pt"))
    assert (path.read_text(), (tmp_path / "previous.pt").read_text()) == ("new", "old")


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "export"
    with new_folder(path) as draft:
        write_text(draft / "a.txt", "a")
        assert not path.exists()
    assert (path / "a.txt").read_text() == "a"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "other", interrupted)
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]


def fill(path, then):
    with new_folder(path) as draft:
        write_text(draft / "a.txt", "new")
        then()


def interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize("full", [False, True])
def test_a_folder_that_exists_by_then_is_not_replaced(full, tmp_path):
    def other():
        (tmp_path / "export").mkdir()
        if full:
            write_text(tmp_path / "export" / "a.txt", "old")

    with pytest.raises(FileExistsError, match="export"):
        fill(tmp_path / "export", other)
    assert [path.read_text() for path in (tmp_path / "export").iterdir()] == ["old"] * full
    assert list(tmp_path.iterdir()) == [tmp_path / "export"]


def test_a_full_disk_is_reported_with_the_final_name(tmp_path, monkeypatch):
    def no_space(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("functions.runtime.atomic_files.os.fsync", no_space)
    with pytest.raises(WriteError, match="No space left") as failure:
        fill(tmp_path / "export", interrupted)
    assert f"{tmp_path / 'export' / 'a.txt'} could not be written" in str(failure.value)
    assert list(tmp_path.iterdir()) == []
