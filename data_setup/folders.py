"""Where a run's images lie: the folders that were named, data/, or the phantom."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from data_setup.phantom import make_phantom
from functions.errors import UserError

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
    """Whether a run with these flags is the phantom demo: asked for, or no data flag and no data folder.

    Raises ValueError if the demo and a data flag are asked for together, or data/ holds something but no train folder.
    """
    named = sorted(DATA_FLAGS & set(flags))
    if flags.get("demo") and named:
        raise UserError(f"--demo and --{named[0]} exclude each other: the demo makes its own data")
    if "demo" in flags or named or (DATA / "train").is_dir():
        return flags.get("demo", False)
    others = sorted(path.name for path in DATA.glob("*") if not path.name.lstrip(".").startswith("phantom"))
    if others:
        raise UserError(f"{DATA}/ holds {others[0]} but no train folder: name your class folders with --train_dir, "
                        "or ask for the phantom with --demo")
    return True


def find_folders(train: Path | None, test: Path | None, val: Path | None, demo: bool) -> Folders:
    """The folders to read. The phantom is made on first use (a few seconds) and kept in data/.

    A folder that is named is taken as named, missing or not. Where train is not named it is data/train, and test and
    val are data/test and data/val if these are there and no others are named.
    """
    if demo:
        if not PHANTOM.is_dir():
            try:
                make_phantom(PHANTOM, people=100, slices=8, seed=0)
            except OSError:
                if not PHANTOM.is_dir():        # unless another run has just made it
                    raise
        return Folders(PHANTOM / "train", PHANTOM / "test", None, PHANTOM)
    if train is None:
        train = DATA / "train"
        test = test or _if_there(DATA / "test")
        val = val or _if_there(DATA / "val")
    return Folders(train, test, val)


def _if_there(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None
