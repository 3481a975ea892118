"""A run's slices after its data were moved: the same files below other folders."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.data_folders import DATA, PHANTOM
from functions.runtime.errors import UserError

DIRS = ("train_dir", "test_dir", "val_dir")


class WrittenSplit(NamedTuple):
    """A run's split.csv, the folder that its relative paths start from, and folders that were moved: (was, is).

    `folders` are the original folders of its slices, by flag.
    """

    file: Path
    start: Path = Path(".")
    moves: tuple[tuple[Path, Path], ...] = ()
    folders: Mapping[str, Path] = {}

    def __str__(self) -> str:
        return str(self.file)

    def relocated(self, paths: Sequence[str]) -> list[str]:
        """The current location of each path; a path outside all moved folders is unchanged."""
        return [self._relocated(path) for path in paths]

    def resolve(self, paths: Sequence[str]) -> list[str]:
        """The current location of each path, relative to the current working folder."""
        return [path if Path(path).exists() else str(Path(self.start, path)) for path in self.relocated(paths)]

    def _relocated(self, path: str) -> str:
        whole = Path(_absolute(self.start, path))
        for was, now in self.moves:
            if whole.is_relative_to(was):
                return str(now / whole.relative_to(was))
        return path


def chosen_split(settings: Namespace, record: Mapping | None, flags: Mapping) -> str | WrittenSplit:
    """The `split` setting; for a resumed run, whose run.json is `record`, the split.csv that it wrote.

    UserError, with the flag that helps, if the data of the resumed run are missing.
    """
    if record is None:
        return settings.split
    split = written_split(settings.resume, record["settings"], flags)
    for name in DIRS:
        folder = getattr(settings, name)
        if folder is not None and not settings.demo and not Path(folder).is_dir():
            raise UserError(f"the data of {settings.resume} are not in {folder}: restore them, or, if they were "
                            f"moved, give their new folder: --{name} DIR")
    return split


def written_split(run: Path, settings: Mapping, flags: Mapping) -> WrittenSplit:
    """The split.csv of a run, whose recorded `settings` give its data folders; `flags` may give new ones.

    UserError if a new folder is given that the run did not have.
    """
    now = {name: Path(flags[name]) for name in DIRS if flags.get(name) is not None}
    was = data_folders(settings)
    if now and settings.get("demo"):
        raise UserError(f"--{min(now)}: this run is the demo, whose data are generated again if they are missing: "
                        "remove the flag")
    if new := sorted(set(now) - set(was)):
        raise UserError(f"--{new[0]} {now[new[0]]}: this run did not use this flag; its data folders: "
                        f"{' and '.join(map(str, was.values()))}")
    moves = sorted(((was[name], Path(_absolute(".", path))) for name, path in now.items()),
                   key=lambda move: -len(move[0].parts))             # a folder within another comes first
    return WrittenSplit(run / "split.csv", Path(settings.get("cwd", ".")), tuple(moves), was)


def data_folders(settings: Mapping) -> dict[str, Path]:
    """flag → absolute folder, for all folders in a run's recorded settings, explicit or by default."""
    start, given = settings.get("cwd", "."), {name: settings.get(name) for name in DIRS}
    if settings.get("demo"):
        given = {"train_dir": PHANTOM / "train", "test_dir": PHANTOM / "test"}
    elif given["train_dir"] is None:
        given = {name: given[name] or DATA / name.removesuffix("_dir") for name in DIRS}
    return {name: Path(_absolute(start, path)) for name, path in given.items() if path is not None}


def _absolute(start: str | Path, path: str | Path) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(start), path))
