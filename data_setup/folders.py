"""Where a run's images lie: the folders that were named, data/, or the phantom."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data_setup.phantom import make_phantom

DATA = Path("data")
DATA_FLAGS = {"train_dir", "test_dir", "val_dir", "subjects"}
PHANTOM = DATA / "phantom-100x8-seed0"


class Folders(NamedTuple):
    """Folders of class folders; None: cut from train. `phantom` is the generated set's folder; None: real data."""

    train: Path
    test: Path | None
    val: Path | None
    phantom: Path | None = None


def is_demo(flags: Mapping) -> bool:
    """Whether a run with these flags is the phantom demo: asked for, or no data flag and no data/train folder.

    Raises ValueError if the demo and a data flag are asked for together.
    """
    named = sorted(DATA_FLAGS & set(flags))
    if flags.get("demo") and named:
        raise ValueError(f"--demo and --{named[0]} exclude each other: the demo makes its own data")
    return flags.get("demo", not named and not (DATA / "train").is_dir())


def find_folders(train: Path | None, test: Path | None, val: Path | None, demo: bool) -> Folders:
    """The folders to read. The phantom is made on first use (a few seconds) and kept in data/.

    A folder that is named is taken as named, missing or not. Where train is not named, data/train is taken; with it,
    or where test and val are not named, data/test and data/val if they are there.
    """
    if demo:
        if not PHANTOM.is_dir():
            make_phantom(PHANTOM, people=100, slices=8, seed=0)
        return Folders(PHANTOM / "train", PHANTOM / "test", None, PHANTOM)
    if train is None:
        train = DATA / "train"
        test = test or _if_there(DATA / "test")
        val = val or _if_there(DATA / "val")
    return Folders(train, test, val)


def _if_there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None
