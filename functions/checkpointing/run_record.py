"""The schema of run.json, checked whenever it is read."""

from dataclasses import dataclass, field
from pathlib import Path

from functions.checkpointing.run_names import check_name
from functions.runtime.errors import UserError
from functions.runtime.json_files import MAX_NAME, check, check_lengths, parse_json

STATES = ("created", "running", "paused", "interrupted", "failed", "finished")
MAX_PROCESSES = 100_000
MAX_NOTE = 10_000                            # characters
RUN_NAME_BYTES = 170                         # 150 of the given name, and the suffix of a name that was taken
Number = int | float


@dataclass(frozen=True)
class RunSettings:
    """The settings that are read before a run is resumed; the others are checked like flags."""

    cwd: str = ""
    train_dir: str | None = None
    test_dir: str | None = None
    val_dir: str | None = None
    demo: bool = False


@dataclass(frozen=True)
class RunRecord:
    """The entries of run.json with their types. Entries without a default are required.

    Entries that are not listed here are preserved: a later version may write more.
    """

    settings: RunSettings
    fingerprint: str
    state: str
    stamps: list[str]
    class_names: list[str]
    name: str | None = None
    run_id: str = ""                            # also in its checkpoints; older runs have none
    processes: int = 1
    split_sha256: str | None = None
    moved_split_sha256: str | None = None       # of split.csv, while it is rewritten for moved data
    split_hash: str | None = None
    preprocessing: dict[str, object] = field(default_factory=dict)
    frozen: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    weights: str | None = None
    weights_sha256: str | None = None
    feature_seconds: Number | None = None
    precision: str | None = None                # the resolved precision; settings hold the requested one
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


def parse_record(text: bytes, path: Path) -> dict:
    """The record in the text of a run.json; raises UserError, naming the file and the key, if it is invalid."""
    try:
        content = parse_json(text, path)
        check(RunRecord, content, path)
        check_lengths(content, {"class_names": MAX_NAME, "stamps": MAX_NAME, "notes": MAX_NOTE}, path)
        if content.get("name") is not None:
            _check_name(content["name"], path)
        if wrong := _wrong_value(content):
            raise UserError(f"{path} is damaged: {wrong}")
    except UserError as error:
        raise UserError(f"{error}; restore an intact copy, or start a new run") from None
    return content


def _wrong_value(content: dict) -> str:
    """The error in a value of the right type; "" if there is none."""
    names, processes, best = content["class_names"], content.get("processes", 1), content.get("best_epoch")
    if content["state"] not in STATES:
        return f'"state" is "{content["state"][:60]}", none of {", ".join(STATES)}'
    if not 1 <= processes <= MAX_PROCESSES:
        return f'"processes" is {processes}, not between 1 and {MAX_PROCESSES:,}'
    if best is not None and best < 1:
        return f'"best_epoch" is {best}: epochs are counted from 1'
    if len(set(names)) < max(2, len(names)):
        return f'"class_names" are {", ".join(names)[:60] or "none"}: not two or more different names'
    return ""


def _check_name(name: str, path: Path) -> None:
    """UserError unless a run can be called so: the pickle of its curves is named after it."""
    try:
        check_name(name, RUN_NAME_BYTES)
    except UserError as error:
        raise UserError(f'{path} is damaged: "name": {error}') from None
