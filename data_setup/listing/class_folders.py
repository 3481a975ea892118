"""Lists the slices of class folders, for training, audit and evaluation.

Nothing is left out silently: every file and folder that is not used is listed with its reason, and those that may be
slices give a warning.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_setup.listing.file_types import conversion_advice, ending, format_counts, is_document, is_litter
from data_setup.listing.image_files import UNREADABLE, LeftOut, find_image_files, hidden_or_litter, is_within
from data_setup.listing.path_names import check_utf8
from data_setup.listing.split_folders import TRAINING, check_level, check_not_splits, holds_images_only
from functions.runtime.errors import UserError, printable

# Column and row names of the result tables: not allowed as class names.
RESERVED = frozenset(("path", "subject", "label", "stamps", "(all)"))
OUTSIDE = "outside the class folders"
LONGEST_NAME = 100                                   # characters of a class name


class Listing(NamedTuple):
    """Rows (path, class, split); what is left out, one line each with its reason; warnings about what may be slices."""

    table: pd.DataFrame
    left_out: list[str]
    warnings: list[str]


def check_exist(folders: Mapping[str, Path | None]) -> None:
    """UserError for a folder of {split: folder} that does not exist; None: no folder."""
    for split, folder in folders.items():
        if folder is not None and not folder.is_dir():
            raise UserError(f"{split} folder {folder} does not exist: it must hold a folder of images for each class")


def list_slices(folders: Mapping[str, Path], advice: str = TRAINING) -> Listing:
    """The slices of {split: folder of class folders}, for a run: at least two classes, those of train in every split.

    Raises UserError as `list_class_folders` does, for a single class, and for a class that is missing from train.
    """
    check_exist(folders)
    listing = list_class_folders(folders, advice)
    check_class_sets(listing.table, folders)
    return listing


def check_class_sets(table: pd.DataFrame, folders: Mapping[str, Path]) -> None:
    """UserError unless train has at least two classes, and every split's are among them; rows (path, class, split)."""
    classes = {split: sorted(set(part["class"])) for split, part in table.groupby("split")}
    known = classes.get("train", [])
    if len(known) < 2:
        one = f"one class, {known[0]}" if known else "no class"
        raise UserError(f"train folder {folders['train']} holds {one}: at least two are needed")
    for split, folder in folders.items():
        if unknown := [name for name in classes.get(split, []) if name not in known]:
            raise UserError(f'{split} folder {folder} has class "{unknown[0]}", which {folders["train"]} lacks: it has '
                            f"{', '.join(known)}")


def list_class_folders(folders: Mapping[str, Path], advice: str = TRAINING) -> Listing:
    """The slices of {split: folder of class folders}. A class is its folder's name in Unicode's composed form (NFC).

    Raises UserError for a folder without class folders, a class folder without images, an invalid class name, a link to
    an ancestor or into another class's folder, and split folders inside a class folder. `advice` ends the message of
    the latter.
    """
    classes = {split: _class_folders(folder) for split, folder in folders.items()}
    rows, left_out, warnings = [], [], []
    for split, folder in folders.items():
        warnings += check_level(folder, classes[split].values(), advice)
    class_of = _classes_by_real_path(classes)
    for split, folder in folders.items():
        for name, class_folder in classes[split].items():
            check_not_splits(class_folder, advice)
            images, others = find_image_files(class_folder, class_of)
            if not images:
                raise UserError(_no_images_message(class_folder, others))
            rows += [(str(path), name, split) for path in images]
            left_out += others
            warnings += _warnings(class_folder, len(images), others)
        outside = [hidden_or_litter(path, path.is_dir()) if is_litter(path.name) else
                   LeftOut(path, OUTSIDE, not is_document(path.name))
                   for path in sorted(folder.iterdir()) if path not in classes[split].values()]
        left_out += outside
        warnings += [*_warnings(folder, 0, outside), *_skipped_classes(folder)]
    table = pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object)
    return Listing(table, [str(entry) for entry in left_out], warnings)


def class_name(folder_name: str) -> str:
    """A class name in composed form (NFC), so that folders copied from macOS (NFD) are the same class."""
    return unicodedata.normalize("NFC", folder_name)


def check_class_name(name: str, where: object) -> None:
    """UserError for a name that tables, figures and messages cannot represent; `where` has the name."""
    check_utf8([name], f"{printable(where)}: the class name")
    reason = None
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        reason = "contains control characters"
    elif name != name.strip():
        reason = "begins or ends with a space, which CSV readers drop"
    elif name in RESERVED:
        reason = "is a column or row of the result tables"
    elif name[:1] in ("=", "@"):
        reason = "would be read as a formula by spreadsheets"
    elif len(name) > LONGEST_NAME:
        reason = f"is longer than {LONGEST_NAME} characters"
    if reason:
        raise UserError(f'{printable(where)}: the class name "{printable(name)}" {reason}: rename it')


def _class_folders(folder: Path) -> dict[str, Path]:
    """{class name: its folder}, sorted by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_litter(path.name) or not path.is_dir():
            continue
        name = class_name(path.name)
        check_class_name(name, path)
        if name in found:
            raise UserError(f'{folder} holds two folders for the class "{name}", written in two Unicode forms (NFC and '
                            "NFD): merge them")
        found[name] = path
    if not found:
        skipped = "".join(f"; {message}" for message in _skipped_classes(folder))
        raise UserError(f"{folder} holds no class folders: it must hold a folder of images for each class{skipped}")
    return found


def _skipped_classes(folder: Path) -> list[str]:
    """One message for each folder of images that is skipped because of its name, such as one that starts with a dot."""
    skipped = [path for path in sorted(folder.iterdir()) if is_litter(path.name) and path.is_dir()
               and os.access(path, os.R_OK | os.X_OK) and holds_images_only(path)]
    return [f"{printable(path)} holds images, but is left out because of its name, which hidden folders and "
            "folders of other programs have: rename it if it is a class" for path in skipped]


def _classes_by_real_path(classes: Mapping[str, Mapping[str, Path]]) -> dict[str, str]:
    """{real path of a class folder: its class}. UserError if folders of two classes are the same or nested."""
    class_of: dict[str, str] = {}
    for named in classes.values():
        for name, path in named.items():
            real = os.path.realpath(path)
            for class_folder, other in class_of.items():
                if other != name and (is_within(real, class_folder) or is_within(class_folder, real)):
                    raise UserError(f"{path} is the same folder as one of class {other}, or one is nested in the other"
                                    ": each class needs its own folder; remove the link")
            class_of[real] = name
    return class_of


def _endings(left_out: list[LeftOut]) -> Counter:
    return Counter(printable(ending(entry.path)) for entry in left_out if not is_litter(entry.path.name))


def _no_images_message(folder: Path, left_out: list[LeftOut]) -> str:
    """The message for a class folder without images: what it contains, and what to do."""
    unreadable = [entry for entry in left_out if entry.reason.startswith(UNREADABLE)]
    if unreadable:
        return f"class folder {folder} holds no readable images: {unreadable[0]}"
    endings = _endings([entry for entry in left_out if entry.suspicious]) or _endings(left_out)
    if not endings:
        return f"class folder {folder} holds no files: put the images of this class there"
    return (f"class folder {folder} holds no images that can be read, but {sum(endings.values()):,} other files "
            f"({format_counts(endings)}): {conversion_advice(endings)}")


def _warnings(folder: Path, images: int, left_out: list[LeftOut]) -> list[str]:
    """One message each about folders that cannot be read and files that may be slices."""
    suspicious, messages = [entry for entry in left_out if entry.suspicious], []
    unreadable = [entry for entry in suspicious if entry.reason.startswith(UNREADABLE)]
    outside = [entry for entry in suspicious if entry.reason == OUTSIDE]
    files = [entry for entry in suspicious if not entry.reason.startswith((UNREADABLE, OUTSIDE))]
    if unreadable:
        messages.append(f"{len(unreadable)} folders below {printable(folder)} cannot be read, and their slices are "
                         f"missing; the first: {unreadable[0]}")
    if outside:
        messages.append(f"{len(outside)} files in {printable(folder)} lie outside the class folders and are left out; "
                         f"the first: {printable(outside[0].path.name)}")
    if files:
        endings = _endings(files)
        messages.append(f"{len(files):,} of {len(files) + images:,} files in {printable(folder)} are left out, "
                         f"because they are not images ({format_counts(endings)}): {conversion_advice(endings)}")
    return messages
