"""A run's slices in another place than where they were when it began: the same files below other folders."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.data_folders import DATA, PHANTOM
from functions.runtime.errors import UserError

DIRS = ("train_dir", "test_dir", "val_dir")


class WrittenSplit(NamedTuple):
    """A run's split.csv, the folder its relative paths start from, and folders that were moved: (was, is).

    `folders` are those that its slices were in, by the flag that names them.
    """

    file: Path
    start: Path = Path(".")
    moves: tuple[tuple[Path, Path], ...] = ()
    folders: Mapping[str, Path] = {}

    def __str__(self) -> str:
        return str(self.file)

    def relocated(self, paths: Sequence[str]) -> list[str]:
        """Each path as it is now; what lies below no moved folder stays as it was written."""
        return [self._relocated(path) for path in paths]

    def from_here(self, paths: Sequence[str]) -> list[str]:
        """Each path as it is now, seen from today's working folder."""
        return [path if Path(path).exists() else str(Path(self.start, path)) for path in self.relocated(paths)]

    def _relocated(self, path: str) -> str:
        whole = Path(_absolute(self.start, path))
        for was, now in self.moves:
            if whole.is_relative_to(was):
                return str(now / whole.relative_to(was))
        return path


def chosen_split(settings: Namespace, record: Mapping | None, flags: Mapping) -> str | WrittenSplit:
    """What a run's `split` setting says; of a run that goes on, whose run.json is `record`, the split it wrote.

    UserError, naming the flag that helps, where the data of the run that goes on are no longer there.
    """
    if record is None:
        return settings.split
    split = written_split(settings.resume, record["settings"], flags)
    for name in DIRS:
        folder = getattr(settings, name)
        if folder is not None and not settings.demo and not Path(folder).is_dir():
            raise UserError(f"the data of {settings.resume} are not in {folder}: put them back, or, if they were "
                            f"moved, say where they are now: --{name} DIR")
    return split


def written_split(run: Path, settings: Mapping, flags: Mapping) -> WrittenSplit:
    """The split.csv of a run, whose recorded `settings` say where its data were; `flags` may name new folders.

    UserError where a folder is named anew that the run did not have.
    """
    now = {name: Path(flags[name]) for name in DIRS if flags.get(name) is not None}
    was = data_folders(settings)
    if now and settings.get("demo"):
        raise UserError(f"--{min(now)}: this run is the demo, whose data are made anew where they are missing: "
                        "leave it out")
    if new := sorted(set(now) - set(was)):
        raise UserError(f"--{new[0]} {now[new[0]]}: this run had no such folder; its data were in "
                        f"{' and '.join(map(str, was.values()))}")
    moves = sorted(((was[name], Path(_absolute(".", path))) for name, path in now.items()),
                   key=lambda move: -len(move[0].parts))             # a folder within another comes first
    return WrittenSplit(run / "split.csv", Path(settings.get("cwd", ".")), tuple(moves), was)


def data_folders(settings: Mapping) -> dict[str, Path]:
    """flag → folder, absolute, of all that a run's recorded settings name, or by default mean."""
    start, given = settings.get("cwd", "."), {name: settings.get(name) for name in DIRS}
    if settings.get("demo"):
        given = {"train_dir": PHANTOM / "train", "test_dir": PHANTOM / "test"}
    elif given["train_dir"] is None:
        given = {name: given[name] or DATA / name.removesuffix("_dir") for name in DIRS}
    return {name: Path(_absolute(start, path)) for name, path in given.items() if path is not None}


def _absolute(start: str | Path, path: str | Path) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(start), path))
