import pytest

from data_setup.listing.split_folders import check_not_splits, find_split_folders, split_of
from functions.runtime.errors import UserError


@pytest.mark.parametrize(("names", "split"), [
    (("train", "Training", "TRAIN", "train_set", "Train Data", "1. train"), "train"),
    (("test", "Testing", "TEST", "test-images", "TestSet"), "test"),
    (("val", "valid", "Validation", "DEV", "val_set"), "val"),
    (("AD", "trained", "latest", "invalid", "data", "set", "device", "Controls", "0", ""), None),
])
def test_usual_names_of_splits_are_known_in_any_case(names, split):
    assert {split_of(name) for name in names} == {split}


def make(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_split_folders_and_what_lies_beside_them(tmp_path):
    make(tmp_path, "Training/AD/1.png", "TEST/AD/2.png", "dev/AD/3.png", "raw/4.png", "5.png", "readme.md",
         "__MACOSX/AD/1.png", ".hidden/x", "manifest.csv")
    folders, beside = find_split_folders(tmp_path, "advice")
    assert folders == {"train": tmp_path / "Training", "test": tmp_path / "TEST", "val": tmp_path / "dev"}
    assert beside == [tmp_path / "5.png", tmp_path / "raw"]


def test_class_folders_are_no_split_folders(tmp_path):
    make(tmp_path, "AD/1.png", "CN/2.png", "test.csv")
    assert find_split_folders(tmp_path, "advice") is None


@pytest.mark.parametrize(("files", "message"), [
    (("train/AD/1.png", "Training/AD/1.png"), r"holds Training/ and train/, and both are names of train: advice"),
    (("train/AD/1.png", "val/AD/1.png", "valid/AD/1.png"), r"val/ and valid/"),
    (("train/1.png", "test/2.png"), r"(train|test) is named like the (train|test) split, but holds images.*advice"),
    (("Control/1.png", "Test/2.png"), r"Test is named like the test split.*if it is a class, rename it"),
])
def test_ambiguous_names_are_refused(tmp_path, files, message):
    make(tmp_path, *files)
    with pytest.raises(UserError, match=message):
        find_split_folders(tmp_path, "advice")


def test_a_class_folder_with_one_split_like_folder_is_no_mistake(tmp_path):
    make(tmp_path, "AD/test/1.png")
    check_not_splits(tmp_path / "AD", "advice")
    make(tmp_path, "AD/training/1.png")
    with pytest.raises(UserError, match=r"holds test/ and training/.*advice"):
        check_not_splits(tmp_path / "AD", "advice")
