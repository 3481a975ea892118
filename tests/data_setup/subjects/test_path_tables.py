import re

import pytest

from data_setup.subjects.path_tables import check_told_apart, from_table, match_paths, read_path_table
from functions.runtime.errors import UserError


def write(tmp_path, text):
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode("utf-8-sig"))
    return file


def test_a_table_is_read_as_text(tmp_path):
    """Pandas by itself reads 007 as 7 and the subject NA as missing."""
    file = write(tmp_path, "age, subject ,path\n70,007,a.png\n71,NA,b.png\n71,NA,b.png\n")
    assert read_path_table(file, ["path", "subject"]).values.tolist() == [["a.png", "007"], ["b.png", "NA"]]


@pytest.mark.parametrize(("text", "message"), [
    ("", "cannot be read as CSV"),
    ("path,subject\n", "has no rows"),
    ("path,who\na,1\n", "needs the columns path, subject; missing subject"),
    ("path,subject\na/b.png,1\nc,3\na/b.png,2\n", "two rows for a/b.png: '1' and '2'"),
    ("path,subject\na/b.png,1\n./a\\b.png,2\n", "two rows for"),
    ('path,subject\n"a,1\n', "cannot be read as CSV"),
])
def test_a_wrong_table_is_refused_in_one_line(tmp_path, text, message):
    file = write(tmp_path, text)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_path_table(file, ["path", "subject"])
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: cannot be read as CSV: no such file"):
        read_path_table(tmp_path / "none.csv", ["path"])


def test_optional_columns_come_where_they_are(tmp_path):
    file = write(tmp_path, "path;Participant_ID;age\na.png;p1;70\n")
    table = read_path_table(file, ["path"], ["subject", "split"])
    assert table.to_dict("list") == {"path": ["a.png"], "subject": ["p1"]}


def test_paths_are_matched_whatever_their_unicode_form():
    paths = ["/x/D\u00e9ment/1.png", "/x/Sain/1.png"]
    assert match_paths(paths, ["De\u0301ment/1.png", "Sain/1.png"], "t.csv") == [0, 1]


DATA = ["/x/data/train/A/1.png", "/x/data/train/B/1.png", "/x/data/test/A/1.png", "/x/data/test/A/2.png"]


@pytest.mark.parametrize(("rows", "found"), [
    (["test/A/2.png", *DATA], [1, 2, 3, 4]),                                 # the whole path is the longest part
    (["train/A/1.png", "test/A/1.png"], [0, None, 1, None]),
    (["2.png", "B\\1.png"], [None, 1, None, 0]),
    (["../../data/train/A/1.png"], [0, None, None, None]),
    (["1.png", "train/A/1.png", "train/B/1.png"], [1, 2, 0, None]),          # 1.png is left for one path only
    ([path.replace("/x/data", "/else") for path in DATA], [0, 1, 2, 3]),     # another root
    ([path.replace("/x/data", "C:/e").replace("/", "\\") for path in DATA], [0, 1, 2, 3]),
    (["/else/train/B/1.png", "/else/test/A/2.png"], [None] * 4),             # another root, but not all of it
    (["data/train/A/2.png"], [None] * 4),                                    # not test/A/2.png
    (["test/B/1.png", "elsewhere/A/7.png"], [None] * 4),
])
def test_a_row_means_the_path_it_ends(rows, found):
    assert match_paths(DATA, rows, "t.csv") == found


def test_a_row_that_means_several_paths_is_refused():
    with pytest.raises(ValueError, match=r"t\.csv: the row 1\.png matches both .*A/1\.png and .*B/1\.png"):
        match_paths(DATA, ["1.png"], "t.csv")


def test_relative_paths_are_matched_with_their_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    assert match_paths(["A/1.png"], ["data/A/1.png"], "t.csv") == [0]
    assert match_paths(["A/1.png"], [str(tmp_path / "data/A/1.png")], "t.csv") == [0]


def test_names_that_a_table_cannot_tell_apart_are_refused():
    check_told_apart(["a/é.png", "b/é.png", "a/e.png"])
    for one, other in (("a/\u00e9.png", "a/e\u0301.png"), ("a\\b.png", "a/b.png")):
        with pytest.raises(UserError, match="rename one"):
            check_told_apart([one, other])


def test_files_of_a_table_are_found_once_each(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "deep" / name).touch()
    table = tmp_path / "deep" / "t.csv"
    assert from_table(table, ["a.png", str(tmp_path / "deep" / "b.png")]) == [str(tmp_path / "deep" / name)
                                                                             for name in ("a.png", "b.png")]
    with pytest.raises(UserError, match=r"t\.csv: two rows refer to the file a\.png"):
        from_table(table, ["a.png", str(tmp_path / "deep" / "a.png")])
    for missing in ("c.png", "x" * 5000 + ".png", "."):
        with pytest.raises(UserError, match=r"t\.csv: 1 of 2 files do not exist, the first .*paths start from"):
            from_table(table, ["a.png", missing])


def test_a_row_without_a_path_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,class\na.png,AD\n,CN\n")
    with pytest.raises(UserError, match=r"t\.csv: line 3 has no path"):
        read_path_table(tmp_path / "t.csv", ["path", "class"])
