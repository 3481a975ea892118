"""Where a run lies and what things are called: folders that cannot be written, strange letters, Windows."""

import shutil
import subprocess
from pathlib import Path, PureWindowsPath

import pandas as pd
import pytest

from data_setup.subjects.path_tables import match_paths
from tests.conftest import ROOT
from tests.survival import runs
from tests.survival.faults import as_nobody


def copied(slices, folder, whole):
    """A copy of the slices: (flags that name it, two of its training files of different pixels)."""
    shutil.copytree(slices, folder)
    split = pd.read_csv(whole / runs.RUN / "split.csv")
    paths = [folder / Path(path).relative_to(slices) for path in split.loc[split["split"] == "train", "path"]]
    return ["--train_dir", folder / "train", "--test_dir", folder / "test"], paths


def test_a_folder_of_another_user_is_one_line_before_anything_is_read(tmp_path, command):
    (tmp_path / "runs").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    try:
        ended = runs.run(tmp_path, *command, fault=as_nobody)
    except PermissionError:
        pytest.skip("this user cannot become another")
    if "not permitted" in ended.err:
        pytest.skip("this user cannot become another")
    runs.one_line(ended, 2, f"{tmp_path / 'runs'} is not writable", "start from another folder")
    assert "slices as" not in ended.out


def test_a_disk_that_is_read_only_is_one_line_for_a_new_run_and_for_one_that_goes_on(tmp_path, command):
    runs.run(tmp_path, *command, "--stop_after", 1)
    if refusal := runs.mount("--bind", tmp_path / "runs", tmp_path / "runs"):
        pytest.skip(f"nothing can be mounted here: {refusal}")
    try:
        assert runs.mount("-o", "remount,ro,bind", tmp_path / "runs") == ""
        for arguments in (command, ["--resume", runs.RUN]):
            ended = runs.run(tmp_path, *arguments)
            runs.one_line(ended, 2, "is not writable (Read-only file system)")
            assert "slices as" not in ended.out
    finally:
        subprocess.run(["umount", "-l", "runs"], cwd=tmp_path, check=True)


def test_spaces_and_letters_of_any_language_everywhere(tmp_path, whole, command, slices):
    here = tmp_path / "two words" / "脳 мозг ünï"
    here.mkdir(parents=True)
    folders, _ = copied(slices, here / "ein Bild's \"Ordner\" 画像", whole)
    recipe = here / "réci pé.yaml"
    shutil.copy(ROOT / "recipes" / "small_data.yaml", recipe)
    arguments = [*command, *folders, "--recipe", recipe, "--name", "Läufe ½"]
    assert runs.run(here, *arguments, "--stop_after", 2).code == 0
    ended = runs.run(here, "--resume", "runs/Läufe ½")
    assert (ended.code, ended.err) == (0, "")
    tables = [pd.read_csv(run / "results.csv").drop(columns=runs.TIMES)
              for run in (here / "runs/Läufe ½", whole / runs.RUN)]
    assert tables[0].equals(tables[1])


def test_a_name_of_a_windows_device_is_one_line(tmp_path, command):
    runs.one_line(runs.run(tmp_path, *command, "--name", "nul.txt"), 2, "nul.txt", "Windows")
    assert not (tmp_path / "runs").exists()


def test_paths_that_windows_wrote_mean_the_same_slices():
    """`split.csv` and `--subjects` tables come from other machines, backslashes and drives included."""
    here = ["/data/train/AD/a 1.png", "/data/train/CN/ü.png"]
    there = [str(PureWindowsPath("D:/brains", *Path(path).parts[1:])) for path in here]
    assert there[0] == "D:\\brains\\data\\train\\AD\\a 1.png"
    assert match_paths(here, there[::-1], "split.csv") == [1, 0]
    assert match_paths(here, [str(PureWindowsPath(path).relative_to("/data")) for path in here], "x.csv") == [0, 1]
