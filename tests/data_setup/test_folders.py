from pathlib import Path

import pytest

from data_setup import folders
from data_setup.folders import PHANTOM, find_folders, is_demo


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_demo_is_for_those_who_have_no_data_and_name_none():
    assert is_demo({})
    assert is_demo({"demo": True})
    assert not is_demo({"demo": False})
    assert not is_demo({"train_dir": "anywhere"})
    PHANTOM.mkdir(parents=True)
    assert is_demo({}), "the phantom's own folder is no data of the user's"
    Path("data/train").mkdir()
    assert not is_demo({})
    assert is_demo({"demo": True})


def test_data_without_a_train_folder_is_not_overlooked():
    Path("data/AD").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"data/ holds AD but no train folder"):
        is_demo({})


def test_the_demo_and_a_data_flag_exclude_each_other():
    with pytest.raises(ValueError, match="--demo and --subjects"):
        is_demo({"demo": True, "subjects": "a.csv"})


def test_named_folders_are_taken_as_named_and_others_only_from_data():
    for name in ("train", "test", "val"):
        Path("data", name).mkdir(parents=True)
    assert find_folders(None, None, None, demo=False)[:3] == (Path("data/train"), Path("data/test"), Path("data/val"))
    assert find_folders(Path("mine"), None, None, demo=False)[:3] == (Path("mine"), None, None)
    assert find_folders(None, Path("theirs"), None, demo=False)[:2] == (Path("data/train"), Path("theirs"))


def test_two_demos_started_at_once_share_one_phantom(monkeypatch):
    def made_by_another_run(*args, **options):
        PHANTOM.mkdir(parents=True)
        raise OSError("Directory not empty")

    monkeypatch.setattr(folders, "make_phantom", made_by_another_run)
    assert find_folders(None, None, None, demo=True).phantom == PHANTOM
    PHANTOM.rmdir()
    monkeypatch.setattr(folders, "make_phantom", lambda *args, **options: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        find_folders(None, None, None, demo=True)
