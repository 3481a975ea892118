"""Finds the image files below a folder; every file and folder that is left out is listed with its reason."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.file_types import ending, is_document, is_image, is_litter
from data_setup.listing.path_names import check_utf8
from functions.runtime.errors import UserError, printable

UNREADABLE = "folder cannot be read"


class LeftOut(NamedTuple):
    """A file or folder that is not used, and the reason; `suspicious`: it may contain slices."""

    path: Path
    reason: str
    suspicious: bool = False

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


def find_image_files(folder: str | Path, class_of: Mapping[str, str] | None = None) -> tuple[list[Path], list[LeftOut]]:
    """All files below a folder, each list sorted by path: (images, what is left out).

    Left out are files without an image extension, hidden files and folders, system files, and folders that cannot be
    read. Linked folders are followed, every real folder once; `class_of` maps the class folders' real paths to classes.
    Raises UserError if the folder does not exist and, with `class_of`, for a link to an ancestor or into another
    class's folder, and for a name that is not text; without it, such links are left out, and such names are
    listed.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder")
    images, left_out, seen, root = [], [], set(), os.path.realpath(folder)
    waiting, linked = deque([Path(folder)]), deque()
    while waiting or linked:                    # no recursion: folders may be deeper than Python's stack
        current = (waiting or linked).popleft()       # links last: real paths come before links
        try:
            status = os.stat(current)
            entries = _entries(current)
        except OSError as error:
            left_out.append(LeftOut(current, f"{UNREADABLE} ({error.strerror})", suspicious=True))
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        real_current = os.path.realpath(current)
        for entry in entries:
            path, is_folder, is_link = current / entry.name, _is_folder(entry), entry.is_symlink()
            try:
                if is_link:
                    _check_link(path, real_current, root, class_of or {})
            except OSError as error:
                left_out.append(LeftOut(path, f"link cannot be followed ({error.strerror})", suspicious=True))
                continue
            except UserError:
                if class_of is not None:
                    raise
                left_out.append(LeftOut(path, "a link to a folder above it"))
                continue
            if is_litter(entry.name):
                left_out.append(hidden_or_litter(path, is_folder and not is_link))
            elif is_folder:
                (linked if is_link else waiting).append(path)
            elif is_image(entry.name):
                images.append(path if class_of is None else _checked_name(path))
            else:
                left_out.append(_left_out_file(path))
    return sorted(images, key=Path.as_posix), sorted(left_out, key=lambda entry: entry.path.as_posix())


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; False if it cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or below it; both are real paths."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _check_link(link: Path, real_parent: str, root: str, class_of: Mapping[str, str]) -> None:
    """UserError for a link to an ancestor, or into the folder of another class than that of `root`."""
    real = os.path.realpath(link)
    if is_within(real_parent, real):
        raise UserError(f"{link} is a link to {real}, a folder above it: remove the link")
    for class_folder, name in class_of.items():
        if name != class_of.get(root) and (is_within(real, class_folder) or is_within(class_folder, real)):
            raise UserError(f"{link} is a link to {real}, which belongs to class {name}: a slice has one class; remove "
                            "the link")


def _checked_name(path: Path) -> Path:
    """The path; UserError if a table cannot represent it."""
    check_utf8([path], "file")
    return path


def hidden_or_litter(path: Path, is_folder: bool) -> LeftOut:
    """An entry that is left out because of its name."""
    reason = "hidden" if path.name.startswith(".") else "left by another program"
    return LeftOut(path, f"{reason}, with {_files_below(path):,} files" if is_folder else reason)


def _files_below(folder: Path) -> int:
    """The number of files below a folder; unreadable folders count as empty."""
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


def _left_out_file(path: Path) -> LeftOut:
    if is_document(path.name):
        return LeftOut(path, f'ending "{path.suffix}" is not a supported image format')
    kind = ending(path)
    words = kind if not kind.startswith(".") else f'ending "{printable(kind)}"'
    return LeftOut(path, f"{words} is not a supported image format", suspicious=True)
