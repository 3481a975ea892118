import os

import pytest

from data_setup.listing.image_files import find_image_files
from functions.runtime.errors import UserError


def write(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")


def test_find_image_files_sorts_and_hides(tmp_path):
    for name in ["b/2.PNG", "b/10.png", "a.jpeg", "a.txt", "b/Thumbs.db", ".hidden.png", ".ipynb_checkpoints/c.png",
                 "b/.DS_Store", "c/d/e/deep.tif"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images, left_out = find_image_files(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in images] == ["a.jpeg", "b/10.png", "b/2.PNG",
                                                                         "c/d/e/deep.tif"]
    assert [entry.path.relative_to(tmp_path).as_posix() for entry in left_out] == [
        ".hidden.png", ".ipynb_checkpoints", "a.txt", "b/.DS_Store", "b/Thumbs.db"]


def test_find_image_files_below_a_hidden_folder_and_with_linked_folders(tmp_path):
    root = tmp_path / ".cache" / "root"
    write(root / "a", "1.png")
    write(tmp_path / "far", "2.png")
    (root / "a" / "far").symlink_to(tmp_path / "far")
    (root / "z").mkdir()
    (root / "z" / "far again").symlink_to(tmp_path / "far")
    assert find_image_files(root)[0] == [root / "a" / "1.png", root / "a" / "far" / "2.png"]


def test_find_image_files_without_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        find_image_files(tmp_path / "nowhere")


def test_a_link_that_cannot_be_followed_is_named_and_left_out(tmp_path, monkeypatch):
    """As /proc/1/cwd is for anybody but root: Python's realpath raises PermissionError there."""
    write(tmp_path, "a.png")
    (tmp_path / "up.png").symlink_to("a.png")
    real = os.path.realpath

    def refusing(path, **options):
        if str(path).endswith("up.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os.path, "realpath", refusing)
    images, left_out = find_image_files(tmp_path)
    assert [path.name for path in images] == ["a.png"]
    assert [str(entry) for entry in left_out] == [f"{tmp_path}/up.png: link cannot be followed (Permission denied)"]


def test_links_upward_are_an_error_among_classes_and_left_out_elsewhere(tmp_path):
    write(tmp_path / "a", "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"up is a link to .*, a folder above it: remove the link"):
        find_image_files(tmp_path, {})
    images, left_out = find_image_files(tmp_path)
    assert [path.name for path in images] == ["1.png"]
    assert [str(entry) for entry in left_out] == [f"{tmp_path}/a/up: a link to a folder above it"]


def test_names_that_are_not_text_are_an_error_among_classes_and_listed_elsewhere(tmp_path):
    name = os.fsdecode(b"\xff.png")
    write(tmp_path, name)
    with pytest.raises(UserError, match="not UTF-8"):
        find_image_files(tmp_path, {})
    assert [path.name for path in find_image_files(tmp_path)[0]] == [name]
