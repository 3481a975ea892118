import inspect
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from data_setup.listing import image_files
from data_setup.listing.class_folders import (
    RESERVED,
    check_class_name,
    list_class_folders,
    list_slices,
)
from functions.runtime.errors import UserError
from tests.conftest import save_noise


def test_every_file_of_every_class_is_listed_once(folders):
    table, left_out, warnings = list_slices(folders)
    assert (left_out, warnings) == ([], [])
    assert len(table) == table["path"].nunique() == 18
    assert table.groupby(["split", "class"]).size().to_dict() == {
        ("test", "AD"): 3, ("test", "CN"): 3, ("train", "AD"): 6, ("train", "CN"): 6}
    assert all(Path(row.path).parent.name == row[2] and row.split in row.path for row in table.itertuples())


def test_what_is_no_image_is_named_not_lost(folders):
    (folders["train"] / "readme.txt").write_text("about")
    (folders["train"] / "AD" / "notes.csv").write_text("about")
    (folders["test"] / ".ipynb_checkpoints").mkdir()
    save_noise(folders["test"] / "stray.png")
    table, left_out, warnings = list_slices(folders)
    assert len(table) == 18
    assert len(left_out) == 4
    for name, reason in (("readme.txt", "outside the class folders"),
                         ("notes.csv", 'ending ".csv" is not a supported image format'),
                         (".ipynb_checkpoints", "hidden"), ("stray.png", "outside the class folders")):
        assert any(name in line and reason in line for line in left_out)
    assert warnings == [f"1 files in {folders['test']} lie outside the class folders and are left out; the "
                        "first: stray.png"]


def test_folders_that_cannot_be_used_are_refused_by_name(folders, tmp_path):
    with pytest.raises(UserError, match=r"nowhere.*does not exist"):
        list_slices({"train": tmp_path / "nowhere"})
    with pytest.raises(UserError, match=r"AD.*no class folders"):
        list_slices({"train": folders["train"] / "AD"})
    (folders["test"] / "MCI").mkdir()
    with pytest.raises(UserError, match=r"MCI holds no files"):
        list_slices(folders)
    save_noise(folders["test"] / "MCI" / "a.png", 1)
    with pytest.raises(UserError, match=r'test.*"MCI".*lacks: it has AD, CN'):
        list_slices(folders)
    (folders["train"] / "CN").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"holds one class, AD: at least two"):
        list_slices({"train": folders["train"]})


def write(folder, *names, content=b"x"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(("names", "content", "expected"), [
    (("1.dcm", "2.DCM", "x.txt"), b"x", r"2 other files \(.dcm 2\): make slices of the DICOM"),
    (("IM0001", "1.2.840.113619.2"), bytes(128) + b"DICM", r"DICOM without an ending 2\): make slices of the DICOM"),
    (("a.nii.gz", "b.NII.GZ", "c.img"), b"x", r"\.nii\.gz 2, \.img 1\): make slices of the volumes"),
    (("a.npy",), b"x", r"\.npy 1\): save each array"),
    (("slices.tar.gz",), b"x", r"unpack"),
    (("scan1", "scan2"), b"x", r"no ending 2\): give the files the extension"),
    (("a.heic",), b"x", r"\.heic 1\): convert"),
    (("about.txt",), b"x", r"\.txt 1\): convert"),
])
def test_a_class_without_images_says_what_it_holds_and_what_to_do(folders, names, content, expected):
    write(folders["train"] / "MCI", *names, content=content)
    with pytest.raises(UserError, match=expected) as caught:
        list_slices(folders)
    assert "MCI" in str(caught.value)
    assert "remove" not in str(caught.value)


def test_files_that_may_be_slices_are_a_warning_and_documents_are_not(folders):
    write(folders["train"] / "AD", *(f"{i}.dcm" for i in range(18)), "readme.md", "Thumbs.db", ".DS_Store")
    _, left_out, warnings = list_slices(folders)
    assert len(left_out) == 21
    assert len(warnings) == 1
    assert warnings[0].startswith(f"18 of 24 files in {folders['train'] / 'AD'} are left out, because they are not "
                                  "images (.dcm 18): make slices of the DICOM")


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found",
                                  ".Trashes", "#recycle", ".ipynb_checkpoints"])
def test_litter_of_other_systems_is_neither_a_class_nor_slices(folders, name):
    for where in (folders["train"], folders["train"] / "AD", folders["test"] / "CN"):
        save_noise(where / name / "a.png" / "THUMB.jpg")
        save_noise(where / name / "b.png")
    table, left_out, warnings = list_slices(folders)
    assert len(table) == 18
    assert set(table["class"]) == {"AD", "CN"}
    assert len(left_out) == 3
    assert all(f"{name}: " in line and "with 2 files" in line for line in left_out)
    assert warnings == []


def test_composed_and_decomposed_names_are_one_class(folders):
    for split, form in (("train", "NFC"), ("test", "NFD")):
        save_noise(folders[split] / unicodedata.normalize(form, "Démence légère") / "a.png")
    table, _, _ = list_slices(folders)
    assert sorted(set(table["class"])) == ["AD", "CN", unicodedata.normalize("NFC", "Démence légère")]
    assert all(Path(path).is_file() for path in table["path"])
    save_noise(folders["train"] / unicodedata.normalize("NFD", "Démence légère") / "b.png")
    with pytest.raises(UserError, match="two Unicode forms"):
        list_slices(folders)


@pytest.mark.parametrize("name", [" Mild", "Mild ", "\u00a0Mild", "a\nb", "a\tb", "a\x1b[31m", "a\x7f", "a\x85b",
                                  "a\u2028b", os.fsdecode(b"M\xfcd"), "=cmd|' /C calc'!A0", "@sum", "x" * 101,
                                  *sorted(RESERVED)])
def test_class_names_that_results_cannot_carry_are_refused(folders, name):
    save_noise(folders["train"] / name / "a.png")
    with pytest.raises(UserError, match="rename it") as caught:
        list_slices(folders)
    assert str(caught.value).isprintable(), "the message must not carry what it warns of"


@pytest.mark.parametrize("name", [r"$\frac$", "a,b", 'a"b', "a'b", "NA", "None", "nan", "0", "0.5", "a\\b", "%s",
                                  "{x}", "<b>", "AD;CN", "Ünï 漢字", "class", "split", "Path", "-", "+MCI", "train",
                                  "x" * 100])
def test_other_class_names_are_accepted(name):
    check_class_name(name, "folder")


def test_a_file_name_that_is_no_text_is_refused_before_anything_is_read(folders):
    save_noise(folders["train"] / "AD" / os.fsdecode(b"d\xe9but.png"))
    with pytest.raises(UserError, match=r"AD/d\\xe9but\.png is not UTF-8.*rename"):
        list_slices(folders)


def test_a_document_whose_name_is_no_text_is_left_out_in_printable_letters(folders):
    (folders["train"] / "AD" / os.fsdecode(b"\xe9\x1b[31m.txt")).write_text("")
    [line] = list_slices(folders).left_out
    assert line.isprintable()
    assert r"\xe9\x1b[31m.txt" in line


@pytest.mark.parametrize("target", ["..", ".", "../..", "../B", "../B/deep", "../../test/B"])
def test_links_to_folders_above_or_to_another_class_are_refused(tmp_path, target):
    for split in ("train", "test"):
        save_noise(tmp_path / split / "A" / "1.png", 1)
        save_noise(tmp_path / split / "B" / "deep" / "2.png", 2)
    (tmp_path / "train" / "A" / "up").symlink_to(target)
    with pytest.raises(UserError, match=r"train/A/up is a link to .*remove the link"):
        list_slices({"train": tmp_path / "train", "test": tmp_path / "test"})


def test_a_linked_file_of_another_class_and_a_class_linked_to_another_are_refused(folders):
    (folders["train"] / "AD" / "x.png").symlink_to(folders["test"] / "CN" / "test0.png")
    with pytest.raises(UserError, match=r"x\.png is a link to .*class CN"):
        list_slices(folders)
    (folders["train"] / "AD" / "x.png").unlink()
    (folders["train"] / "MCI").symlink_to("CN")
    with pytest.raises(UserError, match="each class needs its own folder"):
        list_slices(folders)


def test_links_to_elsewhere_and_to_the_same_class_are_followed(folders, tmp_path):
    save_noise(tmp_path / "pool" / "p.png", 5)
    (folders["train"] / "AD" / "pool").symlink_to(tmp_path / "pool")
    (folders["train"] / "AD" / "linked.png").symlink_to(tmp_path / "pool" / "p.png")
    (folders["train"] / "AD" / "again").symlink_to(tmp_path / "pool")
    (folders["train"] / "MCI").symlink_to(tmp_path / "pool")
    with pytest.raises(UserError, match="class MCI"):
        list_slices(folders)
    (folders["train"] / "MCI").unlink()
    table = list_slices(folders).table
    assert len(table) == 20, "a folder that is linked twice is read once"


def test_folders_that_cannot_be_read_are_named_and_counted(folders, monkeypatch):
    save_noise(folders["train"] / "AD" / "locked" / "a.png")
    real = image_files._entries

    def locked(folder):
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(image_files, "_entries", locked)
    table, left_out, warnings = list_slices(folders)
    assert len(table) == 18
    where = f"{folders['train'] / 'AD' / 'locked'}: folder cannot be read (Permission denied)"
    assert left_out == [where]
    assert warnings == [f"1 folders below {folders['train'] / 'AD'} cannot be read, and their slices are missing; the "
                        f"first: {where}"]
    for path in (folders["train"] / "AD").glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"holds no readable images: .*locked.*Permission denied"):
        list_slices(folders)


def nest(folder, name, depth):
    """A folder inside a folder, `depth` times, whatever the length of the path; returns to where it was."""
    start = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
        Path("deep.png").write_bytes(b"")
    finally:
        os.fchdir(start)
        os.close(start)


def test_folders_nested_deeper_than_pythons_stack_are_read(folders):
    nest(folders["train"] / "AD", "d", 200)
    nest(folders["train"] / "CN", ".hidden", 200)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)          # pytest cannot remove folders deeper than the real one
    try:
        table, left_out, _ = list_slices(folders)
    finally:
        sys.setrecursionlimit(limit)
    assert table["path"].str.endswith("deep.png").sum() == 1
    assert "hidden, with 1 files" in left_out[0]


def test_a_path_longer_than_the_system_allows_is_named_and_counted(folders):
    nest(folders["train"] / "AD", "d" * 250, 17)
    table, left_out, warnings = list_slices(folders)
    assert len(table) == 18
    assert len(left_out) == 1
    assert "folder cannot be read (File name too long)" in left_out[0]
    assert "slices are missing" in warnings[0]


def test_split_folders_inside_a_class_folder_are_refused(tmp_path):
    for name in ("AD", "CN"):
        for split in ("Train", "Validation"):
            save_noise(tmp_path / name / split / "a.png")
    with pytest.raises(UserError, match=r"AD looks like a class folder, but holds Train/ and Validation/.*--train_dir"):
        list_slices({"train": tmp_path})
    with pytest.raises(UserError, match="do this instead"):
        list_class_folders({"test": tmp_path}, "do this instead")


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("AD_train", "AD_test"), ("siteA", "siteB", "siteC")])
def test_folders_whose_folders_are_the_classes_are_no_classes(tmp_path, names):
    for name in names:
        for stage in ("AD", "CN"):
            save_noise(tmp_path / name / stage / "a.png")
    with pytest.raises(UserError, match="these look like the classes, one level lower; name the split folders with"):
        list_slices({"train": tmp_path})


@pytest.mark.parametrize(("first", "second"), [(("axial", "coronal"), ("axial", "coronal")), (("sub-1", "sub-2"),
                                                ("sub-3",)), (("AD", "CN"), ("AD", "MCI"))])
def test_folders_of_views_and_of_patients_within_a_class_are_fine(tmp_path, first, second):
    for name, inside in (("A", first), ("B", second)):
        for number, folder in enumerate(inside):
            save_noise(tmp_path / name / folder / "a.png", 10 * len(name) + number + (name == "B") * 5)
    assert set(list_slices({"train": tmp_path}).table["class"]) == {"A", "B"}


@pytest.mark.parametrize("name", [".hidden", "CVS"])
def test_a_class_folder_whose_name_is_that_of_litter_is_warned_about(tmp_path, name):
    for number, folder in enumerate(("AD", "CN", name)):
        save_noise(tmp_path / folder / "a.png", number)
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    [warning] = list_slices({"train": tmp_path}).warnings
    assert f"{name} holds images, but is left out because of its name" in warning
    for folder in ("AD", "CN"):
        (tmp_path / folder).rename(tmp_path / f".{folder}")
    with pytest.raises(UserError, match=r"holds no class folders.*\.AD holds images, but is left out because of"):
        list_slices({"train": tmp_path})


@pytest.mark.parametrize("names", [("trn", "tst"), ("fold1", "fold2"), ("hospital1", "hospital2")])
def test_classes_that_all_hold_the_same_folders_are_warned_about(tmp_path, names):
    for number, name in enumerate((*names, *names)):
        save_noise(tmp_path / name / str(number // 2) / "a.png", number)
    [warning] = list_slices({"train": tmp_path}).warnings
    assert f"{tmp_path} holds {', '.join(names)}, taken for the classes, and each of them the same folders 0, 1" in (
        warning)
