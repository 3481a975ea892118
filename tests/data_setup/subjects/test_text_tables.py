import bz2
import gzip
import lzma
import os
import random
import zipfile

import pytest

from data_setup.subjects import text_tables
from data_setup.subjects.text_tables import read_text_table
from functions.runtime.errors import UserError
from tests.conftest import NO_FILES

TEXT = "path,subject\nä/1.png,007\nb/2.png,NA\n"
PACKED = gzip.compress(TEXT.encode(), mtime=0)      # the same bytes in every process
READ = (["path", "subject"], [["ä/1.png", "007"], ["b/2.png", "NA"]])


def write(tmp_path, content, name="t.csv"):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path, encoding):
    assert read_text_table(write(tmp_path, TEXT.replace("ä", "a").encode(encoding)))[1][0] == ["a/1.png", "007"]
    assert read_text_table(write(tmp_path, TEXT.encode(encoding))) == READ


@pytest.mark.parametrize("text", [
    TEXT.replace(",", ";"), TEXT.replace(",", "\t"), TEXT.replace(",", "|"), TEXT.replace(",", ", "),
    TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\r"), "sep=;\r\n" + TEXT.replace(",", ";"),
    '"path","subject"\n"1","ä/1.png","007"\n"2","b/2.png","NA"\n',       # R's row names
    "path,subject\n\nä/1.png,007,\nb/2.png,NA,,\n,\n", " path , subject\nä/1.png,007\nb/2.png,NA",
])
def test_notations(tmp_path, text):
    assert read_text_table(write(tmp_path, text)) == READ


def test_a_semicolon_table_may_hold_commas(tmp_path):
    file = write(tmp_path, "path;Age, years;subject\na,b.png;7,5;p\n")
    assert read_text_table(file) == (["path", "Age, years", "subject"], [["a,b.png", "7,5", "p"]])


def test_compressed_tables(tmp_path):
    for suffix, compress in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        assert read_text_table(write(tmp_path, compress(TEXT.encode()), f"t.csv{suffix}")) == READ
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("inner.csv", TEXT)
        archive.writestr("__MACOSX/._inner.csv", "x")
    assert read_text_table(tmp_path / "t.zip") == READ


def zipped(*names):
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), TEXT)        # no time stamp: the same bytes in every process
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "content"), [
    ("t.csv.gz", b"no gzip"), ("t.csv.gz", PACKED[:-9]), ("t.csv.gz", b""),
    ("t.csv.gz", PACKED[:20] + b"\xff\xff\xff" + PACKED[23:]),
    ("t.csv.xz", b"no xz"), ("t.csv.xz", lzma.compress(TEXT.encode())[:-9]), ("t.csv.bz2", bz2.compress(b"x")[:-3]),
    ("t.zip", b"no zip"), ("t.zip", zipped("a")[:-9]), ("t.zip", zipped()), ("t.zip", zipped("a", "b")),
    ("t.csv", b""), ("t.csv", b"\n\n"), ("t.csv", b"\xef\xbb\xbf"), ("t.csv", b"path,subject\n\xe4,1\n"),
    ("t.csv", b"ab,\0c\n"),
    ("t.csv", b"\xff\xfe\x00"), ("t.csv", b"path,subject\na,1\nb,2,3\n"), ("t.csv", b"path,subject\na\n"),
    ("t.csv", b'path,subject\n"a,1\n'), ("t.csv", b'path,subject\n"a"b,1\n'), 
    ("t.csv", random.Random(0).randbytes(5000)),
    ("t.csv", b"path,subject\n" + b"x" * 200_000 + b",1\n"), ("t.xlsx", b"PK"), ("t.csv", b"\0" * 100),
])
def test_a_damaged_table_is_refused_in_one_line_naming_it(tmp_path, name, content):
    file = write(tmp_path, content, name)
    with pytest.raises(UserError) as caught:
        read_text_table(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path):
    content = bytearray(zipped("a"))
    content[content.index(b"subject") + 1] ^= 1
    with pytest.raises(UserError, match="CRC"):
        read_text_table(write(tmp_path, bytes(content), "t.zip"))


def test_folders_missing_files_and_bombs(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="a folder, not a file"):
        read_text_table(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_text_table(tmp_path / "none.csv")
    monkeypatch.setattr(text_tables, "MAX_BYTES", 2**20)
    bomb = b"path,subject\n" + b" " * 2**21
    for name, content in (("t.csv", bomb), ("t.csv.gz", gzip.compress(bomb)), ("t.csv.xz", lzma.compress(bomb))):
        with pytest.raises(UserError, match="more than 1 MiB"):
            read_text_table(write(tmp_path, content, name))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(UserError, match="t.csv: cannot be read as CSV: a pipe, not a regular file"):
        read_text_table(tmp_path / "t.csv")


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "t.csv.gz")
    with pytest.raises(UserError, match=f"t.csv.gz: cannot be read as CSV: {kind}"):
        read_text_table(tmp_path / "t.csv.gz")
