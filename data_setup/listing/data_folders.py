"""Finds the image folders of a run: the given folders, data/, or the phantom."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.file_types import is_litter
from data_setup.listing.split_folders import TRAINING, SplitFolders, find_split_folders
from data_setup.phantom.generate import make_phantom
from functions.runtime.errors import UserError, printable

DATA = Path("data")
DATA_FLAGS = {"train_dir", "test_dir", "val_dir", "subjects", "table"}
PHANTOM = DATA / "phantom-100x8-seed0"


class Folders(NamedTuple):
    """Folders of class folders; None: held out from train. `phantom` is the generated set's folder; None: real data.

    `notes` say which folders are used and what beside them is left out.
    """

    train: Path
    test: Path | None
    val: Path | None
    phantom: Path | None = None
    notes: tuple[str, ...] = ()


def is_demo(flags: Mapping) -> bool:
    """Whether a run with these flags is the phantom demo: requested, or no data flag and no data folder.

    Raises UserError if the demo and a data flag are combined, or data/ has content but no train folder.
    """
    named = sorted(DATA_FLAGS & set(flags))
    if flags.get("demo") and named:
        raise UserError(f"--demo and --{named[0]} are mutually exclusive: the demo generates its own data")
    if "demo" in flags or named or "train" in _split_folders(DATA, "table" in flags).folders:
        return flags.get("demo", False)
    if os.path.lexists(DATA) and not DATA.is_dir():
        raise UserError(f"{DATA} exists but is not a folder, which the phantom needs: remove or rename it, or name "
                        "your class folders with --train_dir")
    others = sorted(path.name for path in DATA.glob("*") if not is_litter(path.name) and not _is_phantom(path))
    if others:
        raise UserError(f"{DATA}/ holds {others[0]} but no train folder: name your class folders with --train_dir, "
                        "or ask for the phantom with --demo")
    return True


def find_folders(train: Path | None, test: Path | None, val: Path | None, demo: bool, flat: bool = False) -> Folders:
    """The folders to read. The phantom is generated on first use (a few seconds) and kept in data/.

    A given folder is used as it is, missing or not. A folder that contains split folders (train/, Testing/, valid/, in
    any case) is replaced by its split subfolder; a train folder of this kind also provides those of test and val,
    unless these are given. The default for train is data/. `flat`: split folders may hold images and no class folders.
    Raises UserError where split folders are ambiguous or lack the requested split.
    """
    if demo:
        if not PHANTOM.is_dir():
            try:
                make_phantom(PHANTOM, people=100, slices=8, seed=0)
            except OSError:
                if not PHANTOM.is_dir():        # another run may have made it meanwhile
                    raise
        return Folders(PHANTOM / "train", PHANTOM / "test", None, PHANTOM)
    named = {"train": train or DATA, "test": test, "val": val}
    roots = {split: _split_folders(folder, flat) for split, folder in named.items() if folder is not None}
    if train is None and "train" not in roots["train"].folders:
        named["train"], roots["train"] = DATA / "train", SplitFolders({}, [])
    taken = dict(named)
    for split, found in roots.items():
        if found.folders and split not in found.folders:
            other = next(iter(found.folders.values()))
            raise UserError(f"{named[split]} holds {other.name}/ but no folder for {split}: {TRAINING}")
        taken[split] = found.folders.get(split, named[split])
    for split in ("test", "val"):
        taken[split] = taken[split] or roots["train"].folders.get(split)
    _check_distinct(train, {"train": named["train"], "test": test, "val": val}, taken)
    return Folders(**taken, notes=tuple(_notes(roots, taken)))


def _check_distinct(train: Path | None, named: Mapping[str, Path | None], taken: Mapping[str, Path | None]) -> None:
    """UserError if there is no train folder beside the others, or if two splits use one folder, also by links."""
    others = [split for split in ("test", "val") if named[split] is not None]
    if train is None and others and not taken["train"].is_dir():
        raise UserError(f"--{others[0]}_dir {named[others[0]]} is given without --train_dir, and there is no "
                        f"{taken['train']}: name the folder to train on with --train_dir")
    seen = {}
    for split, folder in taken.items():
        if folder is None or not folder.is_dir():
            continue
        classes = [path for path in sorted(folder.iterdir()) if path.is_dir() and not is_litter(path.name)]
        for path in (folder, *classes):
            other, first = seen.setdefault(path.resolve(), (split, path))
            if other != split:
                raise UserError(f"{path} of --{split}_dir and {first} of --{other}_dir are the same folder: name "
                                f"another, or leave --{split}_dir out, and {split} is held out from train by patient")


def _split_folders(root: Path, flat: bool = False) -> SplitFolders:
    """The split folders in a folder; empty if it does not exist, or contains class folders."""
    return (find_split_folders(root, TRAINING, flat) if root.is_dir() else None) or SplitFolders({}, [])


def _notes(roots: Mapping[str, SplitFolders], taken: Mapping[str, Path | None]) -> list[str]:
    """Which split folders are used of a folder that contains several, and what beside them is left out."""
    messages, used = [], {path for path in taken.values() if path is not None}
    if any(found.folders for found in roots.values()):
        messages.append("split folders: " + ", ".join(f"{split} is {printable(path)}" for split, path in taken.items()
                                                       if path is not None))
    for split, found in roots.items():
        unused = [path for path in found.folders.values() if path not in used]
        beside = [path for path in found.beside if not _is_phantom(path)]
        if beside or unused:
            names = ", ".join(printable(path) for path in [*unused, *beside])
            messages.append(f"left out beside {printable(found.folders[split])}: {names}")
    return list(dict.fromkeys(messages))


def _is_phantom(path: Path) -> bool:
    return path.name.lstrip(".").startswith("phantom")
