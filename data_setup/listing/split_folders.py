"""Split folders, which contain class folders: train, Training, TEST, valid, dev, … beside each other."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.file_types import is_document, is_image, is_litter
from functions.runtime.errors import UserError, printable

NAMES = {"train": ("train", "training"), "test": ("test", "testing"), "val": ("val", "valid", "validation", "dev")}
FILLERS = r"(set|data|dataset|images|imgs|slices|folder|split)$"        # train_set, Test Data, val-images
# Names of class folders of stages.
STAGE = re.compile(r"dement|impair|alzheimer|normal|control|healthy|(?<![a-z])(ad|cn|nc|hc|e?l?mci|smc)(?![a-z])", re.I)

# Advice in messages: the flags that take split folders.
TRAINING = "name the split folders with --train_dir, --test_dir and --val_dir"


class SplitFolders(NamedTuple):
    """{split: its folder}, and the unassigned entries that may contain slices."""

    folders: dict[str, Path]
    beside: list[Path]


def split_of(name: str) -> str | None:
    """The split (train, val, test) of a folder name, in any case; None for any other name."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    plain = re.sub(FILLERS, "", letters) or letters
    return next((split for split, names in NAMES.items() if plain in names), None)


def find_split_folders(root: Path, advice: str, flat: bool = False) -> SplitFolders | None:
    """The split folders in `root`; None if no folder name is that of a split.

    Raises UserError for ambiguous names: two folders of one split, or a folder named like a split that contains images
    and no class folders, unless these may be `flat`. `advice` ends its message.
    """
    entries = sorted(root.iterdir())
    named = [path for path in entries if split_of(path.name) and not is_litter(path.name) and path.is_dir()]
    if not named:
        return None
    folders: dict[str, Path] = {}
    for path in named:
        split = split_of(path.name)
        if split in folders:
            raise UserError(f"{root} holds {folders[split].name}/ and {path.name}/, and both are names of {split}: "
                            f"{advice}")
        if holds_images_only(path) and not flat:
            raise UserError(f"{path} is named like the {split} split, but holds images and no class folders: put its "
                            f"images into class folders; if it is a class, rename it; otherwise {advice}")
        folders[split] = path
    beside = [path for path in entries if path not in named and not is_litter(path.name)
              and (path.is_dir() or not is_document(path.name))]
    return SplitFolders(folders, beside)


def holds_images_only(folder: Path) -> bool:
    """Whether a folder contains image files and no folders."""
    inside = [path for path in folder.iterdir() if not is_litter(path.name)]
    return any(is_image(path.name) for path in inside) and not any(path.is_dir() for path in inside)


def check_not_splits(class_folder: Path, advice: str) -> None:
    """UserError for a "class folder" that contains split folders: its train and test slices would be pooled."""
    inner = {split_of(path.name): path for path in sorted(class_folder.iterdir())
             if split_of(path.name) and not is_litter(path.name) and path.is_dir()}
    if "train" in inner and len(inner) > 1:
        names = " and ".join(f"{path.name}/" for path in inner.values())
        raise UserError(f"{class_folder} looks like a class folder, but holds {names}: split folders must hold class "
                        f"folders, not the reverse; {advice}")


def check_level(folder: Path, class_folders: Iterable[Path], advice: str = TRAINING) -> list[str]:
    """UserError where all class folders hold the same folders, named as stages are: classes lie one level lower.

    The same applies to folds, sites and splits under other names than a split's. Returns a warning otherwise: the
    folders may be views, or classes.
    """
    class_folders = list(class_folders)
    inside = [{path.name for path in each.iterdir() if path.is_dir() and not is_litter(path.name)}
              for each in class_folders if os.access(each, os.R_OK | os.X_OK)]
    if len(inside) < 2 or len(inside[0]) < 2 or any(names != inside[0] for names in inside):
        return []
    names, lower = (", ".join(map(printable, each))
                    for each in ([one.name for one in class_folders], sorted(inside[0])))
    if all(STAGE.search(name) for name in inside[0]):
        raise UserError(f"{folder} holds {names}, and each of them {lower}: these look like the classes, one level "
                        f"lower; {advice}")
    return [f"{printable(folder)} holds {names}, taken for the classes, and each of them the same folders {lower}: if "
            f"these are the classes, {advice}"]
