import pytest

from data_setup.listing.image_inputs import list_inputs
from functions.runtime.errors import UserError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b/2.png", "in/a.jpeg", "in/b/c/1.tif", "in/notes.txt", "slice", "[1].png", "out/z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(("arguments", "paths"), [
    (["in"], ["in/a.jpeg", "in/b/2.png", "in/b/c/1.tif"]),                  # sub-folders are followed
    (["out/z.png", "in/a.jpeg"], ["out/z.png", "in/a.jpeg"]),               # the order of the arguments
    (["slice"], ["slice"]),                                                  # a file, whatever its name
    (["in/**/*.png"], ["in/b/2.png"]),
    (["in/*"], ["in/a.jpeg", "in/b/2.png", "in/b/c/1.tif", "in/notes.txt"]),
    (["[1].png"], ["[1].png"]),                                              # a name that reads like a pattern
])
def test_files_folders_and_patterns(arguments, paths):
    assert list_inputs(arguments).paths == paths


@pytest.mark.usefixtures("tree")
def test_what_is_left_out_or_named_twice_is_said():
    left_out, twice = list_inputs(["in", "in/b/../a.jpeg"]).notes
    assert left_out.startswith("1 files or folders are not images and are left out")
    assert left_out.endswith('in/notes.txt: ending ".txt" is not a supported image format')
    assert twice == "1 files are named more than once and predicted once"


@pytest.mark.usefixtures("tree")
def test_arguments_that_name_nothing_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "t1.nii.gz").write_bytes(b"x")
    for argument, complaint in (("nowhere", "nowhere: no such file or folder"), ("*.bmp", r"\*\.bmp matches no file"),
                                ("empty", "empty: no image files"),
                                ("scans", r"scans: no image files, but 1 others \(\.nii\.gz 1\): make slices of")):
        with pytest.raises(UserError, match=complaint):
            list_inputs([argument])
