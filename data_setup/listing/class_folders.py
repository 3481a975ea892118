"""Which slices there are: one lister of class folders, for training, audit and evaluation alike.

Nothing is left out silently: every file and folder that is not read is listed with its reason, and what may be slices
among it is a warning.
"""

import os
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_setup.listing.file_types import ending, in_words, is_document, is_image, is_litter, what_to_do
from data_setup.listing.path_names import check_utf8
from data_setup.listing.split_folders import TRAINING, check_level, check_not_splits, holds_images_only
from functions.runtime.errors import UserError, printable

# Names of columns and rows in the tables of results, which a class cannot have beside them.
RESERVED = frozenset(("path", "subject", "label", "stamps", "(all)"))
UNREADABLE, OUTSIDE = "folder cannot be read", "outside the class folders"
LONGEST_NAME = 100                                   # characters of a class name


class LeftOut(NamedTuple):
    """A file or folder that is not read, and why; `doubtful`: it may be slices."""

    path: Path
    reason: str
    doubtful: bool = False

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


class Listing(NamedTuple):
    """Rows (path, class, split); what is left out, a line each with its reason; warnings about what may be slices."""

    table: pd.DataFrame
    left_out: list[str]
    warnings: list[str]


def list_slices(folders: Mapping[str, Path], advice: str = TRAINING) -> Listing:
    """The slices of {split: folder of class folders}, for a run: at least two classes, those of train in every split.

    Raises UserError as `list_class_folders` does, for a single class, and for a class that train does not have.
    """
    for split, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"{split} folder {folder} does not exist: it must hold a folder of images for each class")
    listing = list_class_folders(folders, advice)
    classes = {split: sorted(set(part["class"])) for split, part in listing.table.groupby("split")}
    known = classes["train"]
    if len(known) < 2:
        raise UserError(f"train folder {folders['train']} holds one class, {known[0]}: at least two are needed")
    for split, folder in folders.items():
        if strange := [name for name in classes[split] if name not in known]:
            raise UserError(f'{split} folder {folder} has class "{strange[0]}", which {folders["train"]} lacks: it has '
                            f"{', '.join(known)}")
    return listing


def list_class_folders(folders: Mapping[str, Path], advice: str = TRAINING) -> Listing:
    """The slices of {split: folder of class folders}. A class is its folder's name in Unicode's composed form (NFC).

    Raises UserError for a folder without class folders, a class folder without images, a name that no result could
    carry, a link to an ancestor or into another class's folder, split folders inside a class folder. `advice` says
    what the user of this script can do about the latter.
    """
    classes = {split: _class_folders(folder) for split, folder in folders.items()}
    rows, left_out, warnings = [], [], []
    for split, folder in folders.items():
        warnings += check_level(folder, classes[split].values(), advice)
    homes = _homes(classes)
    for split, folder in folders.items():
        for name, class_folder in classes[split].items():
            check_not_splits(class_folder, advice)
            images, others = find_image_files(class_folder, homes)
            if not images:
                raise UserError(_no_images(class_folder, others))
            rows += [(str(path), name, split) for path in images]
            left_out += others
            warnings += _warnings(class_folder, len(images), others)
        outside = [_litter(path, path.is_dir()) if is_litter(path.name) else
                   LeftOut(path, OUTSIDE, not is_document(path.name))
                   for path in sorted(folder.iterdir()) if path not in classes[split].values()]
        left_out += outside
        warnings += [*_warnings(folder, 0, outside), *_skipped_classes(folder)]
    table = pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object)
    return Listing(table, [str(entry) for entry in left_out], warnings)


def class_name(folder_name: str) -> str:
    """The name of a class: composed (NFC), so that folders copied from macOS (NFD) are the same class."""
    return unicodedata.normalize("NFC", folder_name)


def check_class_name(name: str, where: object) -> None:
    """UserError for a name that tables, figures and messages could not carry; `where` is what has the name."""
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
                            "NFD): put their images together")
        found[name] = path
    if not found:
        skipped = "".join(f"; {sentence}" for sentence in _skipped_classes(folder))
        raise UserError(f"{folder} holds no class folders: it must hold a folder of images for each class{skipped}")
    return found


def _skipped_classes(folder: Path) -> list[str]:
    """A warning for each folder of images that is skipped because of its name, such as one that begins with a dot."""
    skipped = [path for path in sorted(folder.iterdir()) if is_litter(path.name) and path.is_dir()
               and os.access(path, os.R_OK | os.X_OK) and holds_images_only(path)]
    return [f"{printable(path)} holds images, but is left out for its name, which hidden or other programs' folders "
            "have: rename it if it is a class" for path in skipped]


def _homes(classes: Mapping[str, Mapping[str, Path]]) -> dict[str, str]:
    """{real path of a class folder: its class}. UserError where one class's folder is, or lies in, another's."""
    homes: dict[str, str] = {}
    for named in classes.values():
        for name, path in named.items():
            real = os.path.realpath(path)
            for home, other in homes.items():
                if other != name and (_within(real, home) or _within(home, real)):
                    raise UserError(f"{path} is the same folder as one of class {other}, or one lies in the other: "
                                    "each class needs a folder of its own; remove the link")
            homes[real] = name
    return homes


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def find_image_files(folder: str | Path, homes: Mapping[str, str] | None = None) -> tuple[list[Path], list[LeftOut]]:
    """All files below a folder, each list sorted by path: (images, what is left out).

    Left out are files without an image's ending, hidden files and folders, litter of other systems, and folders that
    cannot be read. Linked folders are followed, every real folder once; `homes` are the class folders' real paths.
    Raises UserError if there is no such folder, for a link to a folder above it or into another class's home, and for
    a name that is no text.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder")
    images, left_out, seen, mine = [], [], set(), os.path.realpath(folder)
    waiting, linked = deque([Path(folder)]), deque()
    while waiting or linked:                    # no recursion: folders may be nested deeper than Python's stack
        here = (waiting or linked).popleft()    # links last: a folder's own path comes before a link to it
        try:
            status = os.stat(here)
            entries = _entries(here)
        except OSError as error:
            left_out.append(LeftOut(here, f"{UNREADABLE} ({error.strerror})", doubtful=True))
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        real_here = os.path.realpath(here)
        for entry in entries:
            path, is_folder, is_link = here / entry.name, _is_folder(entry), entry.is_symlink()
            try:
                if is_link:
                    _check_link(path, real_here, mine, homes or {})
            except OSError as error:
                left_out.append(LeftOut(path, f"link cannot be followed ({error.strerror})", doubtful=True))
                continue
            if is_litter(entry.name):
                left_out.append(_litter(path, is_folder and not is_link))
            elif is_folder:
                (linked if is_link else waiting).append(path)
            elif is_image(entry.name):
                images.append(_readable_name(path))
            else:
                left_out.append(_no_image(path))
    return sorted(images, key=Path.as_posix), sorted(left_out, key=lambda entry: entry.path.as_posix())


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; what cannot be looked at is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _check_link(link: Path, real_parent: str, mine: str, homes: Mapping[str, str]) -> None:
    """UserError for a link to a folder above it, or to something of another class than that of the folder `mine`."""
    real = os.path.realpath(link)
    if _within(real_parent, real):
        raise UserError(f"{link} is a link to {real}, a folder above it: remove the link")
    for home, name in homes.items():
        if name != homes.get(mine) and (_within(real, home) or _within(home, real)):
            raise UserError(f"{link} is a link to {real}, which belongs to class {name}: a slice has one class; remove "
                            "the link")


def _readable_name(path: Path) -> Path:
    """The path; UserError if no table could hold it."""
    check_utf8([path], "file")
    return path


def _litter(path: Path, is_folder: bool) -> LeftOut:
    reason = "hidden" if path.name.startswith(".") else "left by another program"
    return LeftOut(path, f"{reason}, with {_files_below(path):,} files" if is_folder else reason)


def _files_below(folder: Path) -> int:
    """How many files lie below a folder; what cannot be read counts as none."""
    return sum(1 for _ in _walk(folder))


def _walk(folder: Path) -> Iterator[os.DirEntry]:
    waiting = [folder]
    while waiting:
        try:
            entries = _entries(waiting.pop())
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                yield entry


def _no_image(path: Path) -> LeftOut:
    if is_document(path.name):
        return LeftOut(path, f'ending "{path.suffix}" is no image format known here')
    kind = ending(path)
    words = kind if not kind.startswith(".") else f'ending "{printable(kind)}"'
    return LeftOut(path, f"{words} is no image format known here", doubtful=True)


def _endings(left_out: list[LeftOut]) -> Counter:
    return Counter(printable(ending(entry.path)) for entry in left_out if not is_litter(entry.path.name))


def _no_images(folder: Path, left_out: list[LeftOut]) -> str:
    """The message for a class folder without a single image: what it holds, and what to do."""
    unreadable = [entry for entry in left_out if entry.reason.startswith(UNREADABLE)]
    if unreadable:
        return f"class folder {folder} holds no images that can be reached: {unreadable[0]}"
    endings = _endings([entry for entry in left_out if entry.doubtful]) or _endings(left_out)
    if not endings:
        return f"class folder {folder} holds no images, nor any other file: put the images of this class there"
    return (f"class folder {folder} holds no images that can be read here, but {sum(endings.values()):,} other files "
            f"({in_words(endings)}): {what_to_do(endings)}")


def _warnings(folder: Path, images: int, left_out: list[LeftOut]) -> list[str]:
    """One sentence each about folders that cannot be read and files that may be slices."""
    doubtful, sentences = [entry for entry in left_out if entry.doubtful], []
    unreadable = [entry for entry in doubtful if entry.reason.startswith(UNREADABLE)]
    outside = [entry for entry in doubtful if entry.reason == OUTSIDE]
    files = [entry for entry in doubtful if not entry.reason.startswith((UNREADABLE, OUTSIDE))]
    if unreadable:
        sentences.append(f"{len(unreadable)} folders below {printable(folder)} cannot be read, and their slices are "
                         f"missing; the first: {unreadable[0]}")
    if outside:
        sentences.append(f"{len(outside)} files in {printable(folder)} lie outside the class folders and are left out; "
                         f"the first: {printable(outside[0].path.name)}")
    if files:
        endings = _endings(files)
        sentences.append(f"{len(files):,} of {len(files) + images:,} files in {printable(folder)} are left out, "
                         f"because they are no images ({in_words(endings)}): {what_to_do(endings)}")
    return sentences
