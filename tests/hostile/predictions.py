"""predict.py, tools/attention.py and tools/app.py on odd images, outputs, flags, checkpoints and reference files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.hostile.bench import Bench, Case
from tests.hostile.checkpoints import sealed, wrong_files
from tests.hostile.images import NAMES, contents, modes, special_files

READERS = {"predict": ["slice.png"], "tools.attention": ["slice.png"], "tools.app": ["--port", "7861"]}
VALUES = (None, "", -1, True, [], {}, torch.zeros(0), torch.full((4, 7), torch.nan), torch.zeros(2, 3), ["\0"], 10**30)


def with_slice(bench: Bench, folder: Path) -> Path:
    """A copy of the finished run, and one slice beside it; returns the run."""
    shutil.copy(next((bench.base / "S/test/AD").glob("*.png")), folder / "slice.png")
    return bench.run(folder, "done")


def cases(bench: Bench) -> Iterator[Case]:
    yield from odd_images()
    yield from outputs()
    yield from flags()
    yield from checkpoints()
    yield from references(bench)


def odd_images() -> Iterator[Case]:
    """Folders of odd files: each is a row with its reason, and none ends the run."""
    for what, source in (("contents", contents), ("modes", modes)):
        def write(bench, folder, source=source):
            with_slice(bench, folder)
            (folder / "D").mkdir()
            for number, (_, ending, content, _) in enumerate(source()):
                (folder / "D" / f"{number}.{ending}").write_bytes(content)

        yield Case("predictions' images", what, "predict", ["runs/done", "D"], write, "work", unreadable=True)

    def name(bench, folder):
        with_slice(bench, folder)
        (folder / "D").mkdir()
        for given in NAMES:
            shutil.copy(folder / "slice.png", folder / "D" / given)
        for number, (_, make, ending) in enumerate(special_files()):
            (folder / "D" / str(number)).mkdir()
            make(folder / "D" / str(number) / ending)

    for out in ([], ["--out", "a.csv"], ["--out", "a.json"]):
        yield Case("predictions' images", f"names and special files {' '.join(out)}", "predict",
                   ["runs/done", "D", *out], name, "work", unreadable=True)
    for given in ("D", "D/**", "*.xyz", "[", "nowhere.png", "/dev/zero", "slice.png/x", "x" * 300, "runs/done/best.pt"):
        def empty(bench, folder):
            with_slice(bench, folder)
            (folder / "D").mkdir()

        must, unreadable = ("work", True) if given in ("/dev/zero", "runs/done/best.pt") else ("refuse", False)
        yield Case("predictions' images", given[:40], "predict", ["runs/done", given], empty, must, ("D",), unreadable)
        yield Case("predictions' images", f"{given[:40]} for attention", "tools.attention", ["runs/done", given], empty,
                   "refuse", ("File name too long", f": {given}: "))


def outputs() -> Iterator[Case]:
    """Files and folders of the user where a result would be written, and places that cannot be written."""
    def prepare(bench, folder):
        with_slice(bench, folder)
        for name in ("mine.csv", "mine.json", "new_patients.csv", "subjects.csv", "s_patients.csv"):
            (folder / name).write_text("path,subject\nslice.png,1\n")
        (folder / "folder.csv").mkdir()
        (folder / "f_patients.csv").mkdir()
        os.mkfifo(folder / "pipe.csv")

    for out in ("mine.csv", "mine.json", "new.csv", "folder.csv", "f.csv", "pipe.csv", "no/x.csv", "slice.png", ".",
                "/proc/x.csv", "runs/done/x.csv", "x" * 300 + ".csv", "/dev/null", "s.csv --subjects s_patients.csv",
                "subjects.csv --subjects subjects.csv", "subjects.csv --subjects ./subjects.csv"):
        yield Case("predictions' outputs", out[:40], "predict", ["runs/done", "slice.png", "--out", *out.split()],
                   prepare, "refuse", ("_patients.csv", "/proc", "File name too long"))
    for out in ("slice.png", "slice.png/x", ".", "/proc/x", "x" * 300, "runs/done/best.pt"):
        for script, flag in (("predict", "--attention"), ("tools.attention", "--out")):
            if (script, out) != ("tools.attention", "."):
                yield Case("predictions' outputs", f"{script} {flag} {out[:40]}", script,
                           ["runs/done", "slice.png", flag, out], prepare, "refuse", ("/proc", "File name too long"))


def flags() -> Iterator[Case]:
    for script, given in (
        ("predict", []), ("predict", ["runs/done"]), ("predict", ["", "slice.png"]), ("predict", ["runs/done", ""]),
        ("predict", ["runs/done", "slice.png", "--device", "tpu"]),
        ("predict", ["runs/done", "slice.png", "--subject_pattern", "("]),
        ("predict", ["runs/done", "slice.png", "--subject_pattern", "x"]),
        ("predict", ["runs/done", "slice.png", "--subjects", "slice.png"]),
        ("predict", ["runs/done", "slice.png", "--subjects", "runs"]),
        ("predict", ["slice.png", "runs/done"]),
        ("tools.attention", []), ("tools.attention", ["runs/done", "--method"]),
        ("tools.attention", ["runs/done", "--method", "gradcam"]), ("tools.attention", ["runs/done", "--count", "0"]),
        ("tools.attention", ["runs/done", "--count", "1e3"]), ("tools.attention", ["runs/done", "--count", "9999"]),
        ("tools.attention", ["runs/done", "--orders", "18"]), ("tools.attention", ["runs/done", "--dpi", "-1"]),
        ("tools.attention", ["runs/done", "--dpi", "999999"]), ("tools.attention", ["runs", "slice.png"]),
        ("tools.app", []), ("tools.app", ["runs/done", "--port", "0"]), ("tools.app", ["runs/done", "--port", "99999"]),
        ("tools.app", ["runs/done", "--port", "x"]), ("tools.app", ["runs/done", "--share"]), ("tools.app", ["runs"]),
    ):
        yield Case("predictions' flags", f"{script} {' '.join(given)}"[:90], script, given,
                   lambda bench, folder: with_slice(bench, folder) and None, "refuse",
                   ("RUN", "IMAGE", "orders", "an argument", "best.pt"))


def checkpoints() -> Iterator[Case]:
    for number, (what, content) in enumerate(wrong_files().items()):
        script = list(READERS)[number % len(READERS)]

        def replace(bench, folder, content=content):
            (with_slice(bench, folder) / "best.pt").write_bytes(content)

        yield Case("predictions' checkpoints", f"{script}: {what}", script, ["runs/done", *READERS[script]], replace,
                   "refuse")


def references(bench: Bench) -> Iterator[Case]:
    """reference.pt damaged in every entry, and files that are none."""
    made = bench.base / "runs/done/reference.pt"

    def change(keys, value):
        def prepare(bench, folder):
            run = with_slice(bench, folder)
            if not made.exists():
                bench.must_work(Case("base", "reference", "predict", ["runs/done", str(folder / "slice.png")]),
                                bench.base)
            content = torch.load(made, weights_only=True)
            if value is KeyError:
                del content[keys]
            else:
                content[keys] = value
            (run / "reference.pt").write_bytes(sealed(content))

        return prepare

    names = ("train", "val", "paths", "labels", "val_probabilities", "val_labels", "gray", "run_id", "epoch")
    for number, name in enumerate(names):
        for value in (KeyError, VALUES[number], VALUES[(number + 5) % len(VALUES)]):
            yield Case("predictions' references", f"{name} = {str(value)[:30]!r}", "predict",
                       ["runs/done", "slice.png"], change(name, value))
    for what, content in wrong_files().items():
        def replace(bench, folder, content=content):
            (with_slice(bench, folder) / "reference.pt").write_bytes(content)

        yield Case("predictions' references", f"file: {what}", "predict", ["runs/done", "slice.png"], replace, "refuse")
