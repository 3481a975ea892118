from pathlib import Path

import pytest

from data_setup.listing.moved_data import data_folders, written_split
from functions.runtime.errors import UserError

SETTINGS = {"cwd": "/w", "train_dir": "data/train", "test_dir": "../t", "val_dir": None, "demo": False}


def test_where_a_runs_data_were():
    assert data_folders(SETTINGS) == {"train_dir": Path("/w/data/train"), "test_dir": Path("/t")}
    assert data_folders({"cwd": "/w", "train_dir": None, "test_dir": "t"}) == {
        "train_dir": Path("/w/data/train"), "test_dir": Path("/w/t"), "val_dir": Path("/w/data/val")}
    assert data_folders({"cwd": "/w", "demo": True}) == {
        "train_dir": Path("/w/data/phantom-100x8-seed0/train"), "test_dir": Path("/w/data/phantom-100x8-seed0/test")}


def test_a_path_below_a_moved_folder_is_where_the_folder_is_now():
    split = written_split(Path("runs/x"), SETTINGS, {"train_dir": Path("/new/T"), "lr": 1})
    assert split.file == Path("runs/x/split.csv")
    assert split.relocated(["data/train/AD/a.png", "/w/data/train/AD/b/c.png", "./data/../data/train/x", "/t/AD/a.png",
                            "data/trains/AD/a.png"]) == [
        "/new/T/AD/a.png", "/new/T/AD/b/c.png", "/new/T/x", "/t/AD/a.png", "data/trains/AD/a.png"]


def test_of_folders_within_each_other_the_inner_one_counts():
    nested = SETTINGS | {"test_dir": "data/train/test"}
    split = written_split(Path("r"), nested, {"train_dir": Path("/a"), "test_dir": Path("/b")})
    assert split.relocated(["data/train/AD/a.png", "data/train/test/AD/a.png"]) == ["/a/AD/a.png", "/b/AD/a.png"]


def test_what_was_not_moved_stays_as_it_was_written():
    assert written_split(Path("r"), SETTINGS, {"train_dir": None}).relocated(["a.png"]) == ["a.png"]


def test_a_folder_that_the_run_had_not_is_refused():
    with pytest.raises(UserError, match="--val_dir .*did not use this flag.*/w/data/train and /t"):
        written_split(Path("r"), SETTINGS, {"val_dir": Path("v")})
    with pytest.raises(UserError, match="--train_dir: this run is the demo"):
        written_split(Path("r"), SETTINGS | {"demo": True}, {"train_dir": Path("v")})
