"""A run's files damaged in every key; runs that were renamed or moved; going on with other flags; feature caches."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.bench import RESNET, Bench, Case, data

VALUES = (None, "", "x\x1b[31m", -1, 0, 1e308, 10**400, True, [], ["x", 1], {}, {"a": None}, "../../x", "y" * 100_000,
          "\ud800", "\0")
FAULTS = {  # entry of run.json → values that must be refused
    ("name",): ("../../precious", "y" * 300, "", "\ud800"),
    ("stamps",): (["y" * 100_000], ["\0"]),
    ("notes",): (["y" * 100_000],),
    ("command",): ("\ud800", "\0"),
    ("processes",): (10**400,),
    ("versions", "torch"): ("\udfff",),
}

RAW = {
    "empty": b"",
    "binary": bytes(range(256)),
    "a list": b"[]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "NaN": b'{"state": NaN}',
    "cut": None,
    "twice a key": b'{"state": "paused", "state": "paused"}',
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "long number": b'{"a": ' + b"9" * 9000 + b"}",
}


def damaged(run: Path, file: str, content: bytes | None) -> None:
    old = (run / file).read_bytes()
    (run / file).write_bytes(old[: len(old) // 2] if content is None else content)


def set_value(content, keys: tuple, value) -> None:
    """Sets an entry of nested dicts and lists; KeyError as value takes it out."""
    for key in keys[:-1]:
        content = content[key]
    if value is KeyError:
        del content[keys[-1]]
    else:
        content[keys[-1]] = value


def with_key(run: Path, file: str, keys: tuple, value) -> None:
    content = json.loads((run / file).read_text())
    set_value(content, keys, value)
    (run / file).write_text(json.dumps(content))


def paths(content, depth: int, above=()) -> Iterator[tuple]:
    for key, value in content.items() if isinstance(content, dict) else ():
        yield (*above, key)
        if depth > 1:
            yield from paths(value, depth - 1, (*above, key))


def csv_edits() -> Iterator[tuple[str, object]]:
    yield "empty", lambda t: ""
    yield "header alone", lambda t: t.split("\n")[0] + "\n"
    yield "no header", lambda t: t.split("\n", 1)[1]
    yield "cut", lambda t: t[: len(t) // 2]
    yield "NaN", lambda t: t.replace("0.", "nan", 1).replace("train\n", "nan\n", 1)
    yield (
        "text for a number",
        lambda t: "\n".join(
            [t.split("\n")[0], *(",".join("x" for _ in line.split(",")) for line in t.splitlines()[1:])]
        ),
    )
    yield "a row twice", lambda t: t + t.splitlines()[-1] + "\n"
    yield "a column less", lambda t: "\n".join(line.rsplit(",", 1)[0] for line in t.splitlines())
    yield "a column more", lambda t: "\n".join(line + ",1" for line in t.splitlines())
    yield "a cell less", lambda t: t.rstrip().rsplit(",", 1)[0]
    yield "binary", lambda t: "\x00\x01" * 99
    yield "open quote", lambda t: t.replace(",", ',"', 1)
    yield "other places", lambda t: t.replace("/S/", "/T/").replace("0.", "-9.")
    yield "huge", lambda t: t.replace("0.", "1e999")


def cases(bench: Bench) -> Iterator[Case]:
    def change(run, function):
        return lambda bench, folder: function(bench.run(folder, run))

    for run, script, arguments in (("half", "train", ["--resume", "runs/half"]), ("done", "evaluate", ["runs/done"])):
        record = json.loads((bench.base / "runs" / run / "run.json").read_text())
        for number, keys in enumerate(paths(record, 2)):
            kinds = 2 if len(keys) == 1 else 1
            values = [VALUES[(5 * number + 3 * i + (run == "done")) % len(VALUES)] for i in range(kinds)] + [
                KeyError
            ] * (number % 3 == 0)
            if keys[-1] == "compile":
                values = [value for value in values if value is not True]     # right, and it starts compilers
            for value in values if run == "half" or number % 2 == 0 else ():
                yield Case(
                    "run.json",
                    f"{'.'.join(keys)} = {str(value)[:30]!r}, {run}",
                    script,
                    arguments,
                    change(run, lambda r, keys=keys, value=value: with_key(r, "run.json", keys, value)),
                )
        for keys, values in FAULTS.items():
            for value in values:
                yield Case(
                    "run.json",
                    f"{'.'.join(keys)} must not be {str(value)[:30]!r}, {run}",
                    *(script, arguments),
                    change(run, lambda r, keys=keys, value=value: with_key(r, "run.json", keys, value)),
                    "refuse",
                )
        for what, content in RAW.items():
            yield Case(
                "run.json",
                f"{what}, {run}",
                script,
                arguments,
                change(run, lambda r, content=content: damaged(r, "run.json", content)),
                "" if what == "cut" else "refuse",
            )
        for file in ("split.csv", "results.csv"):
            for what, edit in csv_edits():
                yield Case(
                    "run's tables",
                    f"{file} {what}, {run}",
                    script,
                    arguments,
                    change(run, lambda r, file=file, edit=edit: (r / file).write_text(edit((r / file).read_text()))),
                )
    metrics = json.loads((bench.base / "runs/done/metrics.json").read_text())
    for number, keys in enumerate(paths(metrics, 4)):
        value = (*VALUES, KeyError)[number % (len(VALUES) + 1)]
        yield Case(
            "metrics.json",
            f"{'.'.join(keys)} = {str(value)[:30]!r}",
            "evaluate",
            ["runs/done"],
            change("done", lambda r, keys=keys, value=value: with_key(r, "metrics.json", keys, value)),
        )
    for what, content in RAW.items():
        yield Case(
            "metrics.json",
            what,
            "evaluate",
            ["runs/done"],
            change("done", lambda r, content=content: damaged(r, "metrics.json", content)),
        )
    for file in ("run.json", "split.csv", "results.csv", "last.pt", "best.pt", "metrics.json", "predictions.csv"):
        for run, script, arguments in (
            ("half", "train", ["--resume", "runs/half"]),
            ("done", "evaluate", ["runs/done"]),
        ):
            if (bench.base / "runs" / run / file).is_file():
                yield Case(
                    "missing files",
                    f"{file}, {run}",
                    script,
                    arguments,
                    change(run, lambda r, file=file: (r / file).unlink()),
                )
                yield Case(
                    "missing files",
                    f"{file} is a folder, {run}",
                    script,
                    arguments,
                    change(run, lambda r, file=file: ((r / file).unlink(), (r / file).mkdir())),
                )
                yield Case(
                    "missing files",
                    f"{file} is /dev/zero, {run}",
                    script,
                    arguments,
                    change(run, lambda r, file=file: ((r / file).unlink(), (r / file).symlink_to("/dev/zero"))),
                )
    yield from moved(bench)
    yield from features(bench)


def moved(bench: Bench) -> Iterator[Case]:
    for name in ("other", "other run", "half-2", "é☃", "a,b"):
        yield Case(
            "renamed runs",
            name,
            "train",
            ["--resume", f"elsewhere/{name}"],
            lambda bench, folder, name=name: (
                shutil.copytree(bench.base / "runs/half", folder / "elsewhere" / name) and None
            ),
            "work",
        )
        yield Case(
            "renamed runs",
            f"{name}, evaluate",
            "evaluate",
            [f"elsewhere/{name}"],
            lambda bench, folder, name=name: (
                shutil.copytree(bench.base / "runs/done", folder / "elsewhere" / name) and None
            ),
            "work",
        )
    dirs = ["--train_dir", str(bench.base / "S/train"), "--test_dir", str(bench.base / "S/test")]
    for given in (
        dirs,
        ["--epochs", "5"],
        ["--epochs", "1"],
        ["--lr", "1"],
        ["--precision", "bf16"],
        ["--precision", "fp16"],
        ["--device", "cpu"],
        ["--num_workers", "0"],
        ["--name", "x"],
        ["--seed", "4"],
        ["--split", "patient"],
        ["--stop_after", "1"],
        ["--stop_after", "9"],
        ["--train_dir", "nowhere"],
        ["--test_dir", "/dev/null"],
        ["--train_dir", str(bench.base / "S/test")],
        ["--recipe", "x.yaml"],
        ["--demo"],
        ["--embedding_dim", "24"],
        ["--batch_size", "8"],
        ["--profile", "1"],
        ["--compile", "--no_compile"],
        ["--subjects", "x.csv"],
        ["--val_dir", str(bench.base / "S/test")],
        ["--resume", "runs/nowhere"],
    ):
        yield Case(
            "resume flags",
            " ".join(given).replace(str(bench.base), "B"),
            "train",
            ["--resume", "runs/half", *given],
            lambda bench, folder: bench.run(folder, "half") and None,
        )
    for what, script, name in (
        ("a finished run", "train", "done"),
        ("the other script", "train_transferlearning", "half"),
    ):
        yield Case(
            "resume flags",
            what,
            script,
            ["--resume", f"runs/{name}"],
            lambda bench, folder, name=name: bench.run(folder, name) and None,
        )
    yield Case(
        "resume flags",
        "a transfer run by train.py",
        "train",
        ["--resume", "runs/feat"],
        lambda bench, folder: shutil.copytree(bench.transfer / "feat", folder / "runs/feat") and None,
    )


def features(bench: Bench) -> Iterator[Case]:
    arguments = [*data(bench)[:4], *RESNET, "--weights", "random", "--epochs", "2", "--stop_after", "1"]

    def prepare(function):
        def change(bench, folder):
            shutil.copytree(bench.transfer / ".features", folder / "runs/.features")
            for file in list((folder / "runs/.features").iterdir()):
                function(file)

        return change

    for share in (0.02, 0.3, 0.5, 0.7, 0.98):

        def flip(file, share=share):
            content = bytearray(file.read_bytes())
            content[int(len(content) * share)] ^= 16
            file.write_bytes(content)

        yield Case("feature caches", f"bit at {share:.0%}", "train_transferlearning", arguments, prepare(flip))
    for what, content in (("empty", b""), ("text", b"x" * 99), ("pickle", b"cposix\nsystem\n(S'touch ../canary'\ntR.")):
        yield Case(
            "feature caches",
            what,
            "train_transferlearning",
            arguments,
            prepare(lambda file, content=content: file.write_bytes(content)),
        )
    yield Case(
        "feature caches",
        "folder",
        "train_transferlearning",
        arguments,
        prepare(lambda file: (file.unlink(), file.mkdir())),
    )
    yield Case(
        "feature caches",
        "cut",
        "train_transferlearning",
        arguments,
        prepare(lambda file: file.write_bytes(file.read_bytes()[:-99])),
    )
