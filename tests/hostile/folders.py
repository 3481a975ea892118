"""Folder layouts, split folders' names, links and class names."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import TINY
from tests.hostile.bench import Bench, Case

TRAIN = ["--train_dir", "D", *TINY, "--epochs", "2", "--stop_after", "1"]
SPLITS = (
    ("Training", "Testing"),
    ("TRAIN", "TEST"),
    ("train", "valid"),
    ("train", "validation"),
    ("train", "dev"),
    ("Train", "val"),
    ("train_set", "test_set"),
    ("train", "eval"),
    ("training", "holdout"),
    ("train ", "test"),
    ("train", "tests"),
    ("train", "Train"),
    ("test", "val"),
    ("training", "train"),
)
CLASSES = (
    r"$\frac$",
    "$",
    "%s",
    "{0}",
    "a,b",
    "a;b",
    'a"b',
    "a'b",
    "=1+1",
    "@SUM(A1)",
    "-x",
    "--epochs",
    "stamps",
    "(all)",
    "path",
    "subject",
    "label",
    "split",
    "count",
    "NA",
    "null",
    "None",
    "nan",
    "True",
    "0",
    "1e5",
    " Mild",
    "Mild ",
    "a\nb",
    "\x1b[31m",
    "a\\b",
    "<b>x</b>",
    "<script>",
    "e\u0301",
    "ⅷ☃",
    "x" * 255,
    "_",
    "#",
    "&amp;",
    "|",
    "a|b",
    "*",
    "\u202ex",
    "\u200b",
    os.fsdecode(b"M\xe9d"),
    "[x]",
    "epoch",
    "train_loss",
    "CON",
    "~",
    "macro",
    "patient",
    "slice",
)


def put(bench: Bench, folder: Path) -> Path:
    return bench.slices(folder / "D")


def layouts() -> Iterator[tuple]:
    def layout(function):
        return function.__name__.replace("_", " "), function

    def nothing_there(d):
        shutil.rmtree(d)

    def a_file(d):
        shutil.rmtree(d)
        d.write_text("x")

    def empty(d):
        shutil.rmtree(d)
        d.mkdir()

    def one_class(d):
        shutil.rmtree(d / "train/CN")

    def no_class_in_test(d):
        shutil.rmtree(d / "test/CN")

    def empty_class(d):
        shutil.rmtree(d / "train/CN")
        (d / "train/CN").mkdir()

    def class_only_in_test(d):
        shutil.copytree(d / "test/CN", d / "test/MCI")

    def class_only_in_train(d):
        shutil.copytree(d / "train/CN", d / "train/MCI")

    def empty_test(d):
        shutil.rmtree(d / "test")
        (d / "test").mkdir()

    def empty_train(d):
        shutil.rmtree(d / "train")
        (d / "train").mkdir()

    def train_is_a_file(d):
        shutil.rmtree(d / "train")
        (d / "train").write_text("x")

    def class_is_a_file(d):
        shutil.rmtree(d / "train/CN")
        (d / "train/CN").write_text("x")

    def test_is_train(d):
        shutil.rmtree(d / "test")
        (d / "test").symlink_to("train")

    def test_is_a_copy(d):
        shutil.rmtree(d / "test")
        shutil.copytree(d / "train", d / "test")

    def up_link_in_a_class(d):
        (d / "train/AD/up").symlink_to("..")

    def link_to_the_other_class(d):
        (d / "train/AD/other").symlink_to("../CN")

    def class_linked_to_class(d):
        shutil.rmtree(d / "train/AD")
        (d / "train/AD").symlink_to("CN")

    def link_to_itself(d):
        (d / "train/AD/loop").symlink_to("loop")

    def link_to_root(d):
        (d / "train/AD/root").symlink_to("/proc")

    def broken_link_as_class(d):
        (d / "train/MCI").symlink_to("nowhere")

    def link_to_train_in_test(d):
        (d / "test/train").symlink_to("../train")

    def both_cases_of_a_class(d):
        shutil.copytree(d / "train/AD", d / "train/ad")

    def both_normal_forms(d):
        [shutil.copytree(d / "train/AD", d / "train" / n) for n in ("\u00e9x", "e\u0301x")]

    def images_beside_classes(d):
        shutil.copy(next((d / "train/AD").iterdir()), d / "train/loose.png")

    def all_loose(d):
        [shutil.copy(f, d) for f in (d / "train/AD").iterdir()]
        [shutil.rmtree(d / s) for s in ("train", "test")]

    def doubly_nested(d):
        shutil.move(d / "train", d / "x")
        (d / "train").mkdir()
        shutil.move(d / "x", d / "train/train")

    def one_image_a_class(d):
        [f.unlink() for c in ("AD", "CN") for f in sorted((d / "train" / c).iterdir())[1:]]

    def three_images(d):
        [f.unlink() for s in ("AD", "CN") for f in sorted((d / "train" / s).iterdir())[2:]]

    def hidden_class(d):
        shutil.move(d / "train/CN", d / "train/.CN")

    def litter(d):
        [shutil.copytree(d / "train/AD", d / "train" / n) for n in ("@eaDir", "__MACOSX", "$RECYCLE.BIN")]

    def litter_files(d):
        [(d / "train/AD" / n).write_bytes(b"x") for n in ("._a.png", "Thumbs.db", ".DS_Store", "desktop.ini")]

    def folders_without_images(d):
        (d / "train/AD/empty/below").mkdir(parents=True)

    def deep(d):
        below = d / "train/AD/sub-X"
        for _ in range(300):
            below = below / "abcd"
        os.makedirs(below)
        shutil.copy(next((d / "train/CN").iterdir()), below)

    def over_path_max(d):
        here = os.getcwd()
        os.chdir(d / "train/AD")
        for _ in range(25):
            os.mkdir("y" * 200)
            os.chdir("y" * 200)
        os.chdir(here)

    def many_classes(d):
        for number in range(40):
            shutil.copytree(d / "train/AD", d / f"train/c{number}")

    def identical_slices_of_other_classes(d):
        [shutil.copy(f, d / "train/CN" / f.name.replace("AD", "XX")) for f in sorted((d / "train/AD").iterdir())[:3]]

    def val_beside(d):
        shutil.copytree(d / "test", d / "val")

    def val_and_valid(d):
        [shutil.copytree(d / "test", d / n) for n in ("val", "valid")]

    def masks_beside(d):
        shutil.copytree(d / "test", d / "masks")

    for function in list(locals().values()):
        if callable(function) and function is not layout:
            yield layout(function)
    for suffix in (".dcm", ".nii.gz", ".npy", ".img", ".svg", ".heic", "", ".PNG", ".zip"):

        def others(d, suffix=suffix):
            for file in (d / "train/CN").iterdir():
                file.rename(file.with_name(file.stem + suffix))

        yield f"class of {suffix or 'no ending'}", others

        def mostly(d, suffix=suffix):
            for file in sorted((d / "train/CN").iterdir())[3:]:
                file.rename(file.with_name(file.stem + suffix))

        yield f"class mostly of {suffix or 'no ending'}", mostly


REFUSED = {
    "one class",
    "nothing there",
    "a file",
    "empty",
    "up link in a class",
    "link to the other class",
    "class linked to class",
    "empty train",
}


def cases(bench: Bench) -> Iterator[Case]:
    for number, (what, change) in enumerate(layouts()):
        scripts = [("train", TRAIN)] if number % 3 else [("train", TRAIN), ("audit", ["D"])]
        for script, arguments in scripts:
            must = "refuse" if what in REFUSED and script == "train" else ""
            yield Case(
                "folders",
                what,
                script,
                arguments,
                lambda bench, folder, change=change: change(put(bench, folder)),
                must,
                ("D",),
            )
    for names in SPLITS:
        yield Case(
            "split folders",
            " and ".join(names),
            "train",
            TRAIN,
            lambda bench, folder, names=names: [
                shutil.copytree(bench.slices(folder / "E") / old, folder / "D" / new)
                for old, new in zip(("train", "test"), names, strict=True)
            ],
            names=("D",),
        )
    for number, name in enumerate(CLASSES):
        script = ("train", [*TRAIN[:-4], "--epochs", "1"]) if number % 5 == 0 else ("train", TRAIN)
        if number % 5 == 2:
            script = ("audit", ["D"])
        yield Case(
            "class names",
            repr(name)[:60],
            *script,
            lambda bench, folder, name=name: bench.slices(folder / "D", ("CN", name)),
        )
