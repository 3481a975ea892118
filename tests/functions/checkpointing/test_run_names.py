import os
import re
import warnings
from pathlib import Path, PureWindowsPath

import pytest

from functions.checkpointing.run_names import (
    check_file_writable,
    check_name,
    check_no_input,
    check_same_data,
    check_writable,
    make_folder,
)
from functions.runtime.errors import UserError


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "..", ".hidden", "/tmp", "a\nb", "n" * 151, "ü" * 76, "CON", "con",
                                  "nul.txt", "COM1", "lpt9.old.csv", "aux ", "AUX .x", "COM²", "ends.", "ends ",
                                  *(f"a{sign}b" for sign in '<>:"|?*'), "C:", "\udcff"])
def test_a_name_that_some_system_cannot_have_is_refused_everywhere(name):
    with pytest.raises(ValueError, match="plain folder name") as refusal:
        check_name(name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["ViTModel", "two words", "ünï cödé 脳", "a.b", "CONS", "COM10", "nul-a", "n" * 150])
def test_any_other_name_is_fine_and_windows_agrees(name):
    check_name(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert not getattr(PureWindowsPath(name), "is_reserved", lambda: False)()
    assert PureWindowsPath(name).name == name
    assert not PureWindowsPath(name).drive


@pytest.mark.parametrize("name", ["CON", "nul.txt", "COM1", "lpt9.old.csv", "aux", "prn.x"])
def test_windows_agrees_on_the_devices(name):
    if not hasattr(PureWindowsPath, "is_reserved"):
        pytest.skip("this Python has no PureWindowsPath.is_reserved any more")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert PureWindowsPath(name).is_reserved()


def test_a_folder_that_is_not_there_yet_is_asked_of_the_one_it_will_be_made_in(tmp_path):
    check_writable(tmp_path / "runs" / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("functions.checkpointing.run_names.tempfile.TemporaryFile", refuse)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} is not writable (Permission denied)")):
        check_writable(tmp_path / "runs")


def test_a_file_where_a_folder_belongs_and_a_folder_that_cannot_be_made_are_lines(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "x" / "y"):
        with pytest.raises(UserError, match="file is a file.*--out"):
            make_folder(folder)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    if os.path.isdir("/proc/self"):
        with pytest.raises(UserError, match="/proc is not writable.*--out"):
            make_folder(Path("/proc/none"))


def test_a_link_to_nothing_where_a_folder_belongs_is_a_line(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("runs", "loop"):
        with pytest.raises(UserError, match=rf"{name} is a broken link.*remove or rename it"):
            check_writable(tmp_path / name)
        with pytest.raises(UserError, match=rf"{name} is a broken link.*remove or rename it"):
            make_folder(tmp_path / name / "x")


def test_a_file_that_cannot_be_written_is_named_with_its_flag(tmp_path):
    (tmp_path / "file").touch()
    check_file_writable(tmp_path / "file", "--figure")
    check_file_writable(tmp_path / "new.png", "--figure")
    for file in (tmp_path, tmp_path / "no" / "x.png", tmp_path / "file" / "x.png"):
        with pytest.raises(UserError, match=re.escape(f"--figure {file} ") + ".*name a file in an existing folder"):
            check_file_writable(file, "--figure")


def test_a_file_that_is_read_is_not_written(tmp_path):
    (tmp_path / "subjects.csv").touch()
    (tmp_path / "link.csv").symlink_to("subjects.csv")
    check_no_input(tmp_path, ("subjects.csv", "audit.json"), (None, tmp_path / "other.csv"))
    for given in ("subjects.csv", "link.csv"):
        with pytest.raises(UserError, match=rf"{given} would be overwritten.*name another folder with --out"):
            check_no_input(tmp_path, ("subjects.csv", "audit.json"), (None, tmp_path / given))


@pytest.mark.parametrize(("content", "fine"), [
    ('{"data": "/a/test"}', True), ('{"data": "/b/test"}', False), ('{"data": null}', False), ("{}", True),
    ("{", True)])
def test_results_of_other_data_are_not_overwritten(content, fine, tmp_path):
    file = tmp_path / "metrics.json"
    check_same_data(file, "/a/test")
    file.write_text(content)
    if fine:
        check_same_data(file, "/a/test")
    else:
        with pytest.raises(UserError, match=r"metrics.json holds the results of (/b/test|the run's own test set): name "
                                            "another folder with --out"):
            check_same_data(file, "/a/test")


def test_results_of_another_run_are_not_overwritten(tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text('{"data": null, "run_id": "a1"}')
    check_same_data(file, None, "a1")
    check_same_data(file, None)
    with pytest.raises(UserError, match="holds the results of another run"):
        check_same_data(file, None, "b2")
    file.write_text('{"data": null}')
    check_same_data(file, None, "b2")
