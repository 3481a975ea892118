"""Clinical tables (--table) of a folder without class folders."""

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import TINY
from tests.hostile.bench import Bench, Case

TRAIN = ["--train_dir", "F", *TINY, "--epochs", "2", "--stop_after", "1"]


def table(bench: Bench, folder: Path) -> str:
    """A right table of the patients in `folder`/F, whose images lie in it without class folders."""
    bench.slices(folder / "D")
    (folder / "F").mkdir()
    lines = []
    for number, path in enumerate(sorted((folder / "D").rglob("*.png"))):
        shutil.move(path, folder / "F" / path.name)
        lines.append(f"{path.name[:8]},{path.parent.name},{60 + number % 20},{'FM'[number % 2]}")
    rows = {line.split(",")[0]: line for line in lines}
    shutil.rmtree(folder / "D")
    return "subject,class,age,sex\n" + "\n".join(rows.values()) + "\n"


GOOD = {  # name → text → bytes: right tables in other notations
    "semicolons, decimal commas": lambda t: t.replace(",F", ",5,F").replace(",", ";").replace(";5;", ",5;").encode(),
    "tabs": lambda t: t.replace(",", "\t").encode(), "BOM": lambda t: t.encode("utf-8-sig"),
    "UTF-16": lambda t: t.encode("utf-16"),
    "sex as 1 and 2": lambda t: t.replace(",F", ",2").replace(",M", ",1").encode(),
    "n/a": lambda t: t.replace(",F", ",n/a").encode(), "LONI's -4": lambda t: t.replace(",60,", ",-4,").encode(),
    "names of BIDS": lambda t: t.replace("subject,class", "participant_id,diagnosis").encode(),
    "names of ADNI": lambda t: t.replace("subject,class,age,sex", "PTID,DX,AGE,PTGENDER").encode(),
    "names of OASIS": lambda t: t.replace("subject,class,age,sex", "ID,Group,Age,M/F").encode(),
    "repeated rows": lambda t: (t + t.split("\n", 1)[1]).encode(),
    "two sexes": lambda t: (t + t.splitlines()[1][:-1] + ("M" if t.splitlines()[1][-1] == "F" else "F")).encode(),
    "strangers too": lambda t: (t + "sub-XX77,AD,70,F\n").encode(),
    "a patient less": lambda t: t.replace(t.splitlines()[1] + "\n", "").encode(),
}
BAD = {  # name → text → bytes: tables that cannot be right
    "empty": lambda t: b"", "header alone": lambda t: t.split("\n")[0].encode(), "zero bytes": lambda t: bytes(400),
    "UTF-32": lambda t: t.encode("utf-32"), "torn gzip": lambda t: gzip.compress(t.encode())[:50],
    "age 999": lambda t: t.replace(",60,", ",999,").encode(), "age -3": lambda t: t.replace(",60,", ",-3,").encode(),
    "age in words": lambda t: t.replace(",60,", ",sixty,").encode(),
    "age inf": lambda t: t.replace(",60,", ",inf,").encode(),
    "age 61,234": lambda t: t.replace(",60,", ',"61,234",').encode(), "sex X": lambda t: t.replace(",F", ",X").encode(),
    "sex 0": lambda t: t.replace(",F", ",0").encode(),
    "two columns for age": lambda t: t.replace("class", "Age").encode(),
    "one class": lambda t: t.replace(",AD,", ",CN,").encode(), "no class": lambda t: t.replace("class", "x").encode(),
    "two classes of a patient": lambda t: (t + t.splitlines()[1].replace("AD", "CN") + "\n").encode(),
    "AD and ad": lambda t: t.replace(",AD,", ",ad,", 1).encode(),
    "class (all)": lambda t: t.replace("AD,", "(all),").encode(),
    "escape in a class": lambda t: t.replace(",AD,", ",\x1b[31mAD,").encode(),
    "line break in a class": lambda t: t.replace(",AD,", ',"A\nD",').encode(),
    "other patients": lambda t: t.replace("sub-", "xyz-").encode(),
    "no subject": lambda t: t.replace("subject", "y").encode(),
    "CDR 0.7": lambda t: t.replace("class", "CDR").replace("AD,", "0.7,").replace("CN,", "0,").encode(),
    "open quote": lambda t: t.replace("sub-", '"sub-', 1).encode(),
}


def cases(bench: Bench) -> Iterator[Case]:
    for must, tables in (("work", GOOD), ("refuse", BAD)):
        for what, write in tables.items():
            file = "c.csv.gz" if "gzip" in what else "c.csv"

            def prepare(bench, folder, write=write, file=file):
                (folder / file).write_bytes(write(table(bench, folder)))

            yield Case("clinical tables", what, "train", [*TRAIN, "--table", file], prepare, must)
    for what in ("/dev/zero", "F", "missing.csv"):
        yield Case("clinical tables", f"--table {what}", "train", [*TRAIN, "--table", what],
                   lambda bench, folder: table(bench, folder) and None, "refuse", names=(f"{what}: ",))
