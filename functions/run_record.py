"""run.json: what a run's record must hold, checked whenever it is read."""

import json
import math
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

from functions.errors import UserError

STATES = ("created", "running", "paused", "interrupted", "failed", "finished")
MOST_PROCESSES = 100_000
Number = int | float
WORDS = {str: "a text", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class RunRecord:
    """The entries of run.json with their types. Those without a default stand in every run's; others depend on the run.

    Entries that are not named here are kept as they are: a later version may write more.
    """

    settings: dict[str, object]
    fingerprint: str
    state: str
    stamps: list[str]
    class_names: list[str]
    name: str | None = None
    processes: int = 1
    split_sha256: str | None = None
    moved_split_sha256: str | None = None       # of split.csv, while it is written anew for data that were moved
    split_hash: str | None = None
    preprocessing: dict[str, object] = field(default_factory=dict)
    frozen: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    weights: str | None = None
    weights_sha256: str | None = None
    feature_seconds: Number | None = None
    precision: str | None = None                # that was used; settings hold the one that was asked for
    device: str | None = None
    started: str | None = None
    command: str | None = None
    commands: list[str] = field(default_factory=list)
    commit: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    cuda: str | None = None
    error: str | None = None
    best_epoch: int | None = None
    seconds: dict[str, Number | None] = field(default_factory=dict)

    def __post_init__(self):
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), entry.type)
        if self.state not in STATES:
            raise UserError(f'state is "{self.state}", none of {", ".join(STATES)}')
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise UserError(f"processes is {self.processes}, not between 1 and {MOST_PROCESSES:,}")
        if self.best_epoch is not None and self.best_epoch < 1:
            raise UserError(f"best_epoch is {self.best_epoch}: epochs are counted from 1")
        if len(set(self.class_names)) < max(2, len(self.class_names)):
            raise UserError(f"class_names are {', '.join(self.class_names) or 'none'}: not two or more different names")
        _check("settings: cwd", self.settings.get("cwd", ""), str)
        for name in ("train_dir", "test_dir", "val_dir"):          # the others are checked as flags are, on resume
            _check(f"settings: {name}", self.settings.get(name), str | None)
        _check("settings: demo", self.settings.get("demo", False), bool)


def parse_record(text: bytes, path: Path) -> dict:
    """The record in the text of a run.json; UserError, naming the file and the key, unless it is a valid one."""
    content = read_json_object(text, path)
    needed = [entry.name for entry in fields(RunRecord) if entry.default is entry.default_factory is MISSING]
    if missing := [name for name in needed if name not in content]:
        raise UserError(f"{path} is damaged: it lacks {missing[0]}, which every run writes: start a new run")
    try:
        RunRecord(**{entry.name: content[entry.name] for entry in fields(RunRecord) if entry.name in content})
    except UserError as error:
        raise UserError(f"{path} is damaged: {error}; put a whole copy back, or start a new run") from None
    return content


def read_json_object(text: bytes, path: Path) -> dict:
    """A JSON object; UserError, naming the file, for anything else, NaN and infinity included."""
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} is damaged ({reason}): put a whole copy back") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it holds no JSON object; put a whole copy back")
    return content


def _refuse(constant: str):
    raise UserError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    return float(digits) if math.isfinite(float(digits)) else _refuse(digits[:40])


def _check(key: str, value, kind) -> None:
    """UserError unless `value` is of the annotated type; True and False are no numbers, nor are NaN and infinity."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        if value is None and type(None) in kinds:
            return
        if float not in kinds:
            _check(key, value, kinds[0])
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"{key} is {_short(value)}, not a finite number")
    elif origin is list:
        if not isinstance(value, list):
            raise UserError(f"{key} is {_short(value)}, not a list")
        for number, item in enumerate(value):
            _check(f"{key}[{number}]", item, kinds[0])
    elif origin is dict:
        if not isinstance(value, dict):
            raise UserError(f"{key} is {_short(value)}, not an object")
        for name, item in value.items():
            if kinds[1] is not object:
                _check(f"{key}: {name}", item, kinds[1])
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{key} is {_short(value)}, not {WORDS[kind]}")


def _short(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
