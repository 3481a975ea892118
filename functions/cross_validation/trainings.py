"""The trainings of a cross-validation: one run of a training script per fold and setting, and their predictions."""

import itertools
import json
import re
import shutil
from argparse import ArgumentTypeError
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from functions.checkpointing.run_folder import read_record, write_table
from functions.config.recipes import NOT_IN_RECIPES
from functions.config.settings import Script, name_and_values
from functions.evaluation.predictions import OTHER_COLUMNS
from functions.reports.run_report import read_results
from functions.runtime.atomic_files import write_json
from functions.runtime.csv_files import read_csv
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.jobs import Job, run_jobs
from functions.runtime.json_files import read_json

ROOT = Path(__file__).resolve().parents[2]
CHANGE_THE_LOSS = {"label_smoothing", "class_weights", "mixup", "cutmix"}      # validation losses cannot be compared


class FoldSplit(NamedTuple):
    """The split of a fold of a repeat, counted from 0, as a file for --split."""

    repeat: int
    fold: int
    file: Path


@dataclass(frozen=True)
class Plan:
    """What is trained, in runs/<name>: the script and its flags, settings to choose from, and the folds."""

    folder: Path
    script: str
    flags: list[str]
    tune: list[str]
    digest: str              # of the slices and folds
    folds: int
    repeats: int
    fold_seed: int
    settings: dict[str, Any] = field(default_factory=dict)      # all of the script's, from flags, recipe and defaults

    @property
    def choices(self) -> list[list[str]]:
        """The flags of every combination of the settings to choose from; [[]] without any."""
        options = []
        for given in self.tune:
            name, values = name_and_values(given)
            options.append([[f"--{name}", value] for value in values])
        return [[part for pair in choice for part in pair] for choice in itertools.product(*options)]

    @property
    def combinations(self) -> int:
        return len(self.choices)

    @property
    def trainings(self) -> int:
        """The number of runs."""
        return self.folds * self.repeats * self.combinations

    def run_name(self, split: FoldSplit, choice: int) -> str:
        """The name of a run below runs/: <name>-r1f1, or <name>-r1f1t1 with settings to choose from."""
        return (f"{self.folder.name}-r{split.repeat + 1}f{split.fold + 1}"
                + (f"t{choice + 1}" if self.combinations > 1 else ""))

    def facts(self) -> dict[str, Any]:
        """The plan for the report."""
        return {"script": self.script, "flags": self.flags, "tune": self.tune, "folds": self.folds,
                "repeats": self.repeats, "fold_seed": self.fold_seed, "slices_and_folds_sha256": self.digest}

    def content(self) -> dict[str, Any]:
        """plan.json: the facts and the settings, which a recipe can change without another command."""
        return json.loads(json.dumps(self.facts() | {"settings": self.settings}, default=str))


def check_tune(tune: Sequence[str], script: Script, flags: Container[str] = ()) -> None:
    """UserError for a setting that cannot be chosen by validation loss, a value that it cannot have, and a setting or
    a value that is given twice; `flags` are the settings that the script is given itself.
    """
    seen = set()
    for given in tune:
        name, values = name_and_values(given)
        setting = script.settings.get(name)
        if "=" not in given or setting is None or setting.name in NOT_IN_RECIPES | {"split", "seed", "epochs"}:
            raise UserError(f"--tune {given}: give a setting of the script and its values, such as lr=1e-4,1e-3")
        if setting.convert is bool:
            raise UserError(f"--tune {given}: {setting.name} is on or off: compare two cross-validations instead")
        if setting.name in CHANGE_THE_LOSS:
            raise UserError(f"--tune {given}: {setting.name} changes the loss itself, so validation losses of its "
                            "values cannot be compared")
        if setting.name in seen or setting.name in flags:
            raise UserError(f"--tune {given}: {setting.name} is also given by another "
                            + ("--tune" if setting.name in seen else f"flag, --{setting.name}") + ": leave out one")
        seen.add(setting.name)
        try:
            converted = [setting.convert(value) for value in values]
        except (ArgumentTypeError, ValueError) as error:
            raise UserError(f"--tune {given}: {error}") from None
        if twice := [text for number, text in enumerate(values) if converted[number] in converted[:number]]:
            raise UserError(f"--tune {given}: the value {twice[0]} is given twice, and each costs a training per fold")


def start_folder(plan: Plan) -> None:
    """Creates runs/<name> with plan.json; UserError, with what differs, if it holds another cross-validation.

    Settings that an earlier version did not write to plan.json are not compared. A plan of which no training has begun
    is replaced.
    """
    file = plan.folder / "plan.json"
    if plan.folder.exists():
        if not_a_file(file):
            raise UserError(f"{plan.folder} exists and holds no cross-validation: name another folder with --name")
        known, content = read_json(file), plan.content()
        known["settings"] = content["settings"] | known.get("settings", {})
        begun = (plan.folder / "predictions.csv").exists() or any(
            re.fullmatch(rf"{re.escape(plan.folder.name)}-r\d+f\d+(t\d+)?", one.name)
            for one in plan.folder.parent.iterdir())
        for name, value in content.items():
            if begun and (name not in known or known[name] != value):
                raise UserError(f"{plan.folder} holds another cross-validation, with "
                                f"{_difference(name, known, value)}: name another folder with --name, or repeat the "
                                "command that made it, with the same data")
    plan.folder.mkdir(parents=True, exist_ok=True)
    write_json(file, plan.content())


def _difference(name: str, known: dict[str, Any], value: Any) -> str:
    """What differs from plan.json, in words: the first setting of several."""
    before = known.get(name)
    if name == "slices_and_folds_sha256":
        return "other slices or patients"
    if isinstance(value, dict) and isinstance(before, dict):
        name = next(key for key in value.keys() | before.keys() if value.get(key) != before.get(key))
        before, value = before.get(name), value.get(name)
    shown = [" ".join(map(str, one)) if isinstance(one, list) else str(one) for one in (before, value)]
    return f"{name} {shown[0] or 'empty'}, not {shown[1] or 'empty'}"


def write_splits(plan: Plan, splits: Iterable[tuple[int, int, pd.DataFrame]]) -> list[FoldSplit]:
    """Writes runs/<name>/splits/r1f1.csv … from (repeat, fold, table)s."""
    (plan.folder / "splits").mkdir(exist_ok=True)
    found = []
    for repeat, fold, table in splits:
        file = plan.folder / "splits" / f"r{repeat + 1}f{fold + 1}.csv"
        write_table(file, table)
        found.append(FoldSplit(repeat, fold, file))
    return found


def train_all(plan: Plan, splits: Sequence[FoldSplit], parallel: int, environments: list[dict[str, str]],
              keep_weights: bool, finished: Callable[[int], None]) -> None:
    """Runs what is not finished; calls finished(number of finished trainings) after each."""
    (plan.folder / "logs").mkdir(exist_ok=True)
    jobs, done = [], 0
    for split in splits:
        for number, choice in enumerate(plan.choices):
            name = plan.run_name(split, number)
            run = plan.folder.parent / name
            if is_finished(run):
                done += 1
                continue
            jobs.append(Job(name, arguments(plan, split, choice, run), plan.folder / "logs" / f"{name}.txt"))
    finished(done)

    def after(job: Job) -> None:
        nonlocal done
        done += 1
        if not keep_weights:
            for weights in (plan.folder.parent / job.name).glob("*.pt"):
                weights.unlink()
        finished(done)

    run_jobs(jobs, parallel, environments, after)


def is_finished(run: Path) -> bool:
    """Whether a run of this name has finished."""
    return not not_a_file(run / "run.json") and read_record(run)["state"] == "finished"


def arguments(plan: Plan, split: FoldSplit, choice: list[str], run: Path) -> list[str]:
    """The command of a fold: a new run, or the continuation of one that was interrupted after its first epoch."""
    script = str(ROOT / plan.script)
    if any((run / name).exists() for name in ("last.pt", "previous.pt")):
        return [script, "--resume", str(run)]
    if run.exists():                     # interrupted before its first epoch was saved: nothing is lost
        shutil.rmtree(run)
    return [script, *plan.flags, *choice, "--split", str(split.file), "--name", run.name]


def read_predictions(plan: Plan, splits: Sequence[FoldSplit]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """(out-of-fold predictions of all slices, notes, caveats); also written to predictions.csv.

    Of several settings a fold's predictions are those of the one with the smallest validation loss at its selected
    epoch; notes say which were chosen.
    """
    tables, chosen, caveats = [], [], []
    for split in splits:
        losses = []
        for number in range(plan.combinations):
            metrics, _, curves = read_results(plan.folder.parent / plan.run_name(split, number))
            losses.append(curves["val_loss"][(metrics.best_epoch or 1) - 1])
            caveats += [caveat for caveat in metrics.caveats if caveat not in caveats]
        best = losses.index(min(losses))
        chosen.append(" ".join(plan.choices[best]))
        table = read_csv(plan.folder.parent / plan.run_name(split, best) / "predictions.csv", OTHER_COLUMNS)
        table.insert(0, "fold", split.fold)
        table.insert(0, "repeat", split.repeat)
        tables.append(table)
    notes = []
    if plan.combinations > 1:
        counts = pd.Series(chosen).value_counts(sort=False)
        notes.append("chosen by validation loss within the training patients: "
                     + ", ".join(f"{choice} in {count} of {len(splits)} folds" for choice, count in counts.items()))
    found = pd.concat(tables, ignore_index=True)
    shown = found.assign(repeat=found["repeat"] + 1, fold=found["fold"] + 1)
    write_table(plan.folder / "predictions.csv", shown)
    return found, notes, caveats
