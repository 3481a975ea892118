"""Checkpoints with every key wrong, tensors of every wrong kind, and files that are none."""

import functools
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tests.hostile.bench import Bench, Case
from tests.hostile.records import set_value

VALUES = (
    None,
    "",
    "x",
    -1,
    0,
    1e400,
    float("nan"),
    True,
    [],
    [1, "x"],
    {},
    {"a": None},
    torch.zeros(0),
    torch.tensor(1 + 2j),
    (),
    b"x",
    {1: 2},
    10**30,
    10**400,
    "\ud800",
    "\0",
    "y" * 100_000,
    torch.zeros(2),
)
FAULTS = {  # of a run that goes on: entry → values that must be refused
    ("format",): (torch.zeros(2),),
    ("frozen",): (torch.zeros(2),),
    ("stamps",): (["\ud800"], ["\0"], ["y" * 100_000]),
    ("config", "norm_eps"): (10**400,),
    ("schedule", "step"): (10**400,),
    ("best",): ({},),
    ("unaveraged",): ({"updates": 1}, {"weights": 3, "updates": 1}, {"weights": {}, "updates": 1}, torch.zeros(2)),
    ("best", "lowest"): ([], [0.5]),
    ("extra",): ([{}], [{"train_seconds": 1.0, "epoch": 1.0}], [{"train_seconds": 1.0, "train_loss": 1.0}]),
    ("history", "train_loss"): (KeyError,),
    ("history", "val_loss"): (KeyError,),
    ("history", "epoch"): ([1.0],),
    ("history", "\ud800"): ([1.0],),
    ("preprocessing", "channels"): (KeyError, True, 1.0),
    ("rng", "python", 0): (torch.tensor(3),),
    ("rng", "numpy", 2): (torch.tensor(3),),
    ("rng", "numpy", 3): (torch.tensor(0),),
    ("optimizer", "state", 0, "exp_avg"): (torch.tensor(0.5), torch.ones(1), None, 3, KeyError),
    ("optimizer", "state", 0, "exp_avg_sq"): (torch.tensor(0.5),),
    ("optimizer", "state", 0, "step"): (None, 10**30, torch.ones(2)),
    ("optimizer", "param_groups", 0, "betas"): ("x", ()),
    ("optimizer", "param_groups", 0, "eps"): ("x",),
    ("optimizer", "param_groups", 0, "weight_decay"): ({},),
    ("optimizer", "param_groups", 0, "amsgrad"): (True,),
    ("optimizer", "param_groups", 0, "differentiable"): (True,),
    ("optimizer", "param_groups", 0, "maximize"): (True,),
}


class Bomb:
    """Creates a file beside the case's folder when it is unpickled."""

    def __reduce__(self):
        return open, ("../canary", "w")


def sealed(content) -> bytes:
    """A checkpoint's bytes; with the checksum of ours where the project writes one."""
    target = io.BytesIO()
    torch.save(content, target)
    return target.getvalue()


def places(content, depth: int, above=()) -> Iterator[tuple]:
    items = content.items() if isinstance(content, dict) else ()
    for key, value in items:
        yield (*above, key)
        if depth > 1 and key in ("config", "preprocessing", "rng", "best", "seen", "optimizer", "schedule", "history"):
            yield from places(value, depth - 1, (*above, key))


def tensor_faults() -> dict:
    return {
        "NaN": lambda t: t * float("nan"),
        "inf": lambda t: t / 0,
        "complex": lambda t: t.to(torch.complex64),
        "int8": lambda t: t.to(torch.int8),
        "fp16": lambda t: t.half(),
        "fp64": lambda t: t.double(),
        "sparse": lambda t: t.to_sparse(),
        "meta": lambda t: t.to("meta"),
        "scalar": lambda t: t.sum(),
        "one more row": lambda t: torch.cat([t, t[:1]]),
        "none": lambda t: None,
        "text": lambda t: "x",
        "array": lambda t: t.numpy(),
        "bool": lambda t: t > 0,
        "expanded": lambda t: torch.zeros(1).expand(t.shape),
        "float8": lambda t: t.to(torch.float8_e4m3fn),
        "empty": lambda t: t[:0],
        "list": lambda t: t.tolist(),
    }


@functools.cache
def wrong_files() -> dict:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(50_000_000))
        file.writestr("archive/version", "3")
    old = io.BytesIO()
    torch.save({"a": 1}, old, _use_new_zipfile_serialization=False)
    return {
        "empty": b"",
        "text": b"hello",
        "pickle": b"cposix\nsystem\n(S'touch ../canary'\ntR.",
        "zip bomb": archive.getvalue(),
        "old format": old.getvalue(),
        "bomb": sealed({"format": 1, "x": Bomb()}),
        "bomb alone": sealed(Bomb()),
        "tensor": sealed(torch.zeros(3)),
        "list": sealed([1]),
        "none": sealed(None),
        "number": sealed(3),
        "empty dict": sealed({}),
        "other": sealed({"state_dict": {}}),
        "array": sealed({"a": np.zeros(3)}),
        "zeros": bytes(5000),
        "module": sealed(torch.nn.Linear(2, 2)),
    }


def cases(bench: Bench) -> Iterator[Case]:
    whole = torch.load(bench.base / "runs/half/last.pt", weights_only=True, map_location="cpu")

    def write(run: str, files: tuple[str, ...], change):
        def prepare(bench: Bench, folder: Path):
            target = bench.run(folder, run)
            for file in files:
                content = torch.load(target / file, weights_only=True)
                change(content)
                (target / file).write_bytes(sealed(content))

        return prepare

    def wrong(keys, value):
        return functools.partial(set_value, keys=keys, value=value)

    for number, keys in enumerate(places(whole, 2)):
        values = [VALUES[(7 * number + 4 * i) % len(VALUES)] for i in range(2)] + [KeyError] * (number % 2)
        for i, value in enumerate(values):
            target = (
                ("half", ("last.pt", "best.pt"), "train", ["--resume", "runs/half"])
                if i == 0
                else ("done", ("best.pt",), "evaluate", ["runs/done"])
            )
            yield Case(
                "checkpoints",
                f"{'.'.join(map(str, keys))} = {str(value)[:30]!r}, {target[0]}",
                *target[2:],
                write(*target[:2], wrong(keys, value)),
                names=("last.pt", "best.pt"),
            )
    for keys, values in FAULTS.items():
        for number, value in enumerate(values):
            yield Case(
                "checkpoints",
                f"{'.'.join(map(str, keys))} must not be {str(value)[:30]!r}, {number}",
                "train",
                ["--resume", "runs/half"],
                write("half", ("last.pt", "best.pt"), wrong(keys, value)),
                "refuse",
                ("last.pt", "best.pt"),
            )
    tensor = next(name for name, value in whole["weights"].items() if value.ndim == 2)
    for what, fault in tensor_faults().items():
        yield Case(
            "checkpoints",
            f"a tensor: {what}",
            "evaluate",
            ["runs/done"],
            write(
                "done",
                ("best.pt",),
                lambda content, fault=fault: content["weights"].update({tensor: fault(content["weights"][tensor])}),
            ),
            "" if what in ("fp16", "fp64", "expanded", "float8") else "refuse",
        )
    for what, change in (
        ("a tensor more", lambda c: c["weights"].update(x=torch.zeros(2))),
        ("a tensor less", lambda c: c["weights"].pop(tensor)),
        ("a number as name", lambda c: c["weights"].update({3: torch.zeros(2)})),
        ("a billion layers", lambda c: c["config"].update(num_layers=10**9)),
        ("a million pixels", lambda c: c["config"].update(image_size=(10**6, 10**6))),
        ("std 0", lambda c: c["preprocessing"].update(std=[0.0])),
        ("std -1", lambda c: c["preprocessing"].update(std=[-1.0])),
        ("three means", lambda c: c["preprocessing"].update(mean=[0.5] * 3)),
        ("no classes", lambda c: c.update(class_names=[])),
        ("a class twice", lambda c: c.update(class_names=["AD", "AD"])),
        ("other classes", lambda c: c.update(class_names=["X", "Y"])),
        ("odd classes", lambda c: c.update(class_names=["\x1b[31m", "a\nb"])),
        ("more classes", lambda c: c.update(class_names=["AD", "CN", "MCI"])),
    ):
        yield Case(
            "checkpoints",
            what,
            "evaluate",
            ["runs/done"],
            write("done", ("best.pt",), change),
            "" if what in ("odd classes",) else "refuse",
            ("model's",),
        )
    for what, content in wrong_files().items():

        def replace(bench, folder, content=content, run="done", file="best.pt"):
            (bench.run(folder, run) / file).write_bytes(content)

        yield Case("checkpoints", f"file: {what}", "evaluate", ["runs/done"], replace, "refuse")
        yield Case(
            "checkpoints",
            f"resumed file: {what}",
            "train",
            ["--resume", "runs/half"],
            lambda bench, folder, content=content: [
                (bench.run(folder, "half") if not (folder / "runs/half").exists() else folder / "runs/half")
                .joinpath(name)
                .write_bytes(content)
                for name in ("last.pt", "best.pt")
            ],
            "refuse",
        )
    for share in (0.01, 0.2, 0.5, 0.8, 0.99):

        def flip(bench, folder, share=share):
            file = bench.run(folder, "done") / "best.pt"
            content = bytearray(file.read_bytes())
            content[int(len(content) * share)] ^= 4
            file.write_bytes(content)

        yield Case("checkpoints", f"bit at {share:.0%} flipped", "evaluate", ["runs/done"], flip)
    yield Case(
        "checkpoints",
        "pickled curves that run code",
        "evaluate",
        ["runs/done"],
        lambda bench, folder: (bench.run(folder, "done") / "done_losses.pkl").write_bytes(
            b"cposix\nsystem\n(S'touch ../canary'\ntR."
        ),
        "work",
    )
