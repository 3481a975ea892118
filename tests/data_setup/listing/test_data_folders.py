from pathlib import Path

import pytest

from data_setup.listing import data_folders as folders
from data_setup.listing.data_folders import PHANTOM, find_folders, is_demo
from functions.runtime.errors import UserError


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


def test_a_file_or_a_dead_link_called_data_is_a_line():
    Path("data").touch()
    for _ in range(2):
        with pytest.raises(UserError, match=r"^data exists but is not a folder.*remove or rename it.*--train_dir"):
            is_demo({})
        Path("data").unlink()
        Path("data").symlink_to("nowhere")


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


def make(*names):
    for name in names:
        Path(name, "AD").mkdir(parents=True)
        Path(name, "AD", "1.png").touch()


def test_split_folders_of_any_usual_name_are_found_in_data():
    make("data/Training", "data/TEST", "data/valid", "data/raw", "data/phantom-100x8-seed0")
    Path("data/readme.txt").touch()
    assert not is_demo({})
    found = find_folders(None, None, None, demo=False)
    assert found[:3] == (Path("data/Training"), Path("data/TEST"), Path("data/valid"))
    assert found.notes == ("split folders: train is data/Training, test is data/TEST, val is data/valid",
                           "left out beside data/Training: data/raw")


def test_a_train_dir_that_holds_split_folders_stands_for_them():
    make("D/Train", "D/Testing", "D/dev", "E/test", "E/AD", "F")
    assert find_folders(Path("D"), None, None, demo=False)[:3] == (Path("D/Train"), Path("D/Testing"), Path("D/dev"))
    found = find_folders(Path("D"), Path("E"), Path("F"), demo=False)
    assert found[:3] == (Path("D/Train"), Path("E/test"), Path("F"))
    assert "left out beside D/Train: D/Testing, D/dev" in found.notes
    assert "left out beside E/test: E/AD" in found.notes
    assert find_folders(Path("D/Train"), Path("D"), None, demo=False)[:3] == (Path("D/Train"), Path("D/Testing"), None)
    assert find_folders(Path("F"), None, None, demo=False)[:4] == (Path("F"), None, None, None)


@pytest.mark.parametrize(("folders", "named", "message"), [
    (("D/test", "D/val"), ("D", None, None), 
     "D holds test/ but no folder for train: name the split folders with --train_dir"),
    (("D/train", "E/val"), ("D", "E", None), "E holds val/ but no folder for test"),
    (("D/train", "D/Training"), ("D", None, None), 
     "both are names of train: name the split folders with --train_dir"),
    (("data/train", "data/valid", "data/validation"), (None, None, None), "both are names of val"),
])
def test_split_folders_that_are_ambiguous_or_missing_are_refused(folders, named, message):
    make(*folders)
    with pytest.raises(UserError, match=message):
        find_folders(*(name and Path(name) for name in named), demo=False)


def test_split_folders_of_images_without_classes_are_no_classes():
    for name in ("D/train", "D/test", "data/train"):
        Path(name).mkdir(parents=True)
        Path(name, "1.png").touch()
    with pytest.raises(UserError, match="D/test is named like the test split, but holds images and no class folders"):
        find_folders(Path("D"), None, None, demo=False)
    with pytest.raises(UserError, match="data/train is named like the train split"):
        is_demo({})


def test_one_folder_for_two_splits_is_refused_and_so_are_class_folders_shared_by_links():
    make("D", "T", "V")
    Path("link").symlink_to("D")
    for named in ((Path("D"), Path("D"), None), (Path("D"), None, Path("link")), (Path("D"), Path("link/../D"), None)):
        with pytest.raises(UserError, match=r"of --(test|val)_dir and D of --train_dir are the same folder"):
            find_folders(*named, demo=False)
    with pytest.raises(UserError, match="V of --val_dir and V of --test_dir are the same folder"):
        find_folders(Path("D"), Path("V"), Path("V"), demo=False)
    Path("V/CN").symlink_to("../D/AD")
    with pytest.raises(UserError, match="V/CN of --val_dir and D/AD of --train_dir are the same folder"):
        find_folders(Path("D"), Path("T"), Path("V"), demo=False)
    Path("V/CN").unlink()
    Path("V/README").touch()
    Path("D/README").symlink_to("../V/README")
    assert find_folders(Path("D"), Path("T"), Path("V"), demo=False)[:3] == (Path("D"), Path("T"), Path("V"))


@pytest.mark.parametrize(("named", "flag"), [((None, Path("T"), None), "--test_dir T"),
                                             ((None, None, Path("T")), "--val_dir T")])
def test_a_folder_to_test_on_needs_one_to_train_on(named, flag):
    make("T")
    with pytest.raises(UserError, match=f"{flag} is given without --train_dir, and there is no data/train"):
        find_folders(*named, demo=False)
