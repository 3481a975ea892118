"""Subject tables, split tables and regular expressions."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import TINY
from tests.hostile.bench import Bench, Case

TRAIN = ["--train_dir", "D/train", "--test_dir", "D/test", *TINY, "--epochs", "2", "--stop_after", "1"]


def rows(bench: Bench, folder: Path, columns=("path", "subject"), separator=",") -> str:
    """A right table of the slices in `folder`/D."""
    bench.slices(folder / "D")
    lines = [separator.join(columns)]
    for path in sorted((folder / "D").rglob("*.png")):
        cells = {
            "path": str(path.relative_to(folder)),
            "subject": path.name[:8],
            "class": path.parent.name,
            "split": path.parent.parent.name,
        }
        lines.append(separator.join([*cells.values()][:1] + [cells.get(c, path.name[:8]) for c in columns[1:]]))
    return "\n".join(lines) + "\n"


def zipped(text: str, *names: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text)
    return target.getvalue()


GOOD = {  # name → (file name, text → bytes): right tables in other notations
    "semicolon": ("t.csv", lambda t: t.replace(",", ";").encode()),
    "tab": ("t.tsv", lambda t: t.replace(",", "\t").encode()),
    "BOM": ("t.csv", lambda t: t.encode("utf-8-sig")),
    "UTF-16": ("t.csv", lambda t: t.encode("utf-16")),
    "UTF-16 without BOM": ("t.csv", lambda t: t.encode("utf-16-le")),
    "CRLF": ("t.csv", lambda t: t.replace("\n", "\r\n").encode()),
    "CR": ("t.csv", lambda t: t.replace("\n", "\r").encode()),
    "gzip": ("t.csv.gz", lambda t: gzip.compress(t.encode())),
    "xz": ("t.csv.xz", lambda t: lzma.compress(t.encode())),
    "bzip2": ("t.csv.bz2", lambda t: bz2.compress(t.encode())),
    "zip": ("t.zip", lambda t: zipped(t, "t.csv")),
    "quoted": (
        "t.csv",
        lambda t: "".join(",".join(f'"{c}"' for c in line.split(",")) + "\n" for line in t.splitlines()).encode(),
    ),
    "backslashes": ("t.csv", lambda t: t.replace("/", "\\").encode()),
    "Windows drive": ("t.csv", lambda t: t.replace("\nD/", "\nC:/data/").replace("/", "\\").encode()),
    "repeated rows": ("t.csv", lambda t: (t + t.split("\n", 1)[1]).encode()),
    "no line end": ("t.csv", lambda t: t.strip().encode()),
    "blank lines": ("t.csv", lambda t: t.replace("\n", "\n\n").encode()),
    "NA": ("t.csv", lambda t: t.replace("sub-AD01", "NA").encode()),
    "more columns": ("t.csv", lambda t: t.replace("\n", ",1\n").replace("subject,1", "subject,age", 1).encode()),
}
BAD = {  # name → (file name, text → bytes): tables that cannot mean anything
    "empty": ("t.csv", lambda t: b""),
    "header alone": ("t.csv", lambda t: t.split("\n")[0].encode()),
    "only NULs": ("t.csv", lambda t: bytes(500)),
    "binary": ("t.csv", lambda t: bytes(range(256)) * 9),
    "Latin-1": ("t.csv", lambda t: t.replace("sub-AD01", "sub-é").encode("latin-1")),
    "UTF-32": ("t.csv", lambda t: t.encode("utf-32")),
    "no header": ("t.csv", lambda t: t.split("\n", 1)[1].encode()),
    "two answers": ("t.csv", lambda t: (t + t.splitlines()[1] + "x\n").encode()),
    "JSON": ("t.csv", lambda t: b'{"path": 1}'),
    "twice the column": ("t.csv", lambda t: t.replace("path,subject", "path,path").encode()),
    "torn gzip": ("t.csv.gz", lambda t: gzip.compress(t.encode())[:60]),
    "text named gzip": ("t.csv.gz", lambda t: t.encode()),
    "flipped gzip": (
        "t.csv.gz",
        lambda t: gzip.compress(t.encode())[:40] + b"\xff\0\xff" + gzip.compress(t.encode())[43:],
    ),
    "torn xz": ("t.csv.xz", lambda t: lzma.compress(t.encode())[:60]),
    "text named xz": ("t.csv.xz", lambda t: t.encode()),
    "torn bzip2": ("t.csv.bz2", lambda t: bz2.compress(t.encode())[:60]),
    "torn zip": ("t.zip", lambda t: zipped(t, "t.csv")[:90]),
    "empty zip": ("t.zip", lambda t: zipped(t)),
    "two in a zip": ("t.zip", lambda t: zipped(t, "a.csv", "b.csv")),
    "gzip bomb": ("t.csv.gz", lambda t: gzip.compress(bytes(300_000_000), 1)),
    "zip bomb": ("t.zip", lambda t: zipped("0" * 300_000_000, "t.csv")),
    "xlsx": ("t.xlsx", lambda t: zipped(t, "xl/a.xml", "b.xml")),
    "open quote": ("t.csv", lambda t: t.replace("sub-AD01", '"sub-AD01', 1).encode()),
    "other files": ("t.csv", lambda t: t.replace("sub-", "xyz-").replace(".png", "_q.png").encode()),
    "ragged": ("t.csv", lambda t: t.replace("sub-AD01,", "sub,AD,01,").replace(".png", ",.png", 2).encode()),
    "a cell of a million": ("t.csv", lambda t: (t + "D/x.png," + "y" * 1_000_000 + "\n").encode()),
}
PATTERNS = (
    r"(?P<subject>sub-AD\d+)",
    "(",
    "",
    "sub",
    r"(?P<subject>",
    "(?P<patient>x)",
    "(?P<subject>)",
    r"(?P<subject>.*)",
    r"(?P<subject>(a+)+)$",
    r"(?P<subject>(\w+)*)!",
    r"(?P<subject>(.*)*)\Z!",
    "*",
    "[",
    "(?P<subject>x){99999999999}",
    "(" * 5000,
    "(?P<subject>" + "(" * 300 + "a" + ")" * 300 + ")",
    "(?P<subject>\\d+)(?P<subject>x)",
    "\\",
    "(?P<subject>\ud800)",
    "(?P<subject>a|(?P=subject))",
    "(?i)(?P<subject>SUB-..)",
    "(?P<subject>\x1b\\[31m|sub-A)",
    "(?P<subject>x)?",
    "(?<subject>s.b)",
    r"(?P<subject>sub-\w\w\d\d)",
    r"(?P<subject>(?:\w|\d|_|-)+)+\Z@",
    "(?P<subject>\n)",
    "(?P<subject>🧠)",
    "(?P<subject>(?R))",
)


def cases(bench: Bench) -> Iterator[Case]:
    for must, tables in (("", GOOD), ("refuse", BAD)):
        for what, (file, write) in tables.items():
            for flag, columns in (
                ("--subjects", ("path", "subject")),
                ("--split", ("path", "class", "subject", "split")),
            ):

                def prepare(bench, folder, file=file, write=write, columns=columns):
                    (folder / file).write_bytes(write(rows(bench, folder, columns)))

                expected = (
                    ""
                    if what in ("a cell of a million", "twice the column", "open quote", "other files", "ragged")
                    else must
                )
                expected = "work" if must == "" and flag == "--subjects" and what != "NA" else expected
                yield Case("tables", f"{what} for {flag}", "train", [*TRAIN, flag, file], prepare, expected)
    for columns in (
        ("filename", "patient_id"),
        ("image", "ID"),
        ("Path", "PTID"),
        ("file_path", "participant_id"),
        ("FILE", "RID"),
        ("path", "age"),
        ("name", "subject"),
        ("path", "subject", "Subject"),
        ("path", "patient", "subject"),
    ):
        yield Case(
            "tables",
            f"columns {columns}",
            "train",
            [*TRAIN, "--subjects", "t.csv"],
            lambda bench, folder, columns=columns: (folder / "t.csv").write_text(rows(bench, folder, columns)),
        )
    for old, new in (
        (",train", ",Train"),
        (",train", ",trian"),
        (",train", ","),
        (",test", ",train"),
        (",train", ",val"),
        (",AD,", ",XX,"),
        (",AD,", ",,"),
        ("sub-AD01", "sub-AD00"),
        ("D/train", "/etc"),
        ("D/train", "../.."),
        (".png", ".gone"),
        (",train", ",\x1b[31m"),
        ("sub-", "=cmd|"),
        (",CN,", ",AD,"),
        (",train", ",0"),
        ("D/", ""),
    ):
        yield Case(
            "split tables",
            f"{old} as {new!r}",
            "train",
            [*TRAIN, "--split", "t.csv"],
            lambda bench, folder, old=old, new=new: (folder / "t.csv").write_text(
                rows(bench, folder, ("path", "class", "subject", "split")).replace(old, new)
            ),
        )
    for what in (
        "/dev/zero",
        "/dev/null",
        "D",
        "missing.csv",
        "..",
        "",
        "D/train/AD/sub-AD01_z0.png",
        "/proc/self/mem",
        "auto",
        "\x1b[31m",
        "x" * 300,
    ):
        for flag in ("--subjects", "--split", "--recipe"):
            yield Case(
                "tables",
                f"{flag} {what[:40]!r}",
                "train",
                [*TRAIN, flag, what],
                lambda bench, folder: bench.slices(folder / "D") and None,
                names=(f"{what}: ",),
            )
    for pattern in PATTERNS:
        yield Case(
            "patterns",
            repr(pattern)[:50],
            "train",
            [*TRAIN, "--subject_pattern", pattern],
            lambda bench, folder: bench.slices(folder / "D") and None,
        )
