"""The image files that a command line names: files, folders with their sub-folders, and glob patterns."""

import glob
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from data_setup.listing.file_types import conversion_advice, ending, format_counts
from data_setup.listing.image_files import LeftOut, find_image_files
from functions.runtime.errors import UserError, printable


class Inputs(NamedTuple):
    """Paths of image files, in the order of the arguments and sorted within a folder; notes on what is left out."""

    paths: list[str]
    notes: list[str]


def list_inputs(arguments: Sequence[str], but: Collection[str] = (), private: bool = False) -> Inputs:
    """The files of `arguments`: a file whatever its name, all images below a folder, all matches of a glob pattern.

    Each file is listed once. `but` are absolute paths of files that are read otherwise, as volumes. Raises UserError
    for an argument that names nothing, and if there is neither an image nor a file of `but`. With `private`, notes name
    no file: names beside DICOM files may be those of patients.
    """
    paths: dict[str, str] = {}               # absolute path → path as given
    left_out: list[LeftOut] = []
    repeated = 0
    for argument in arguments:
        for found in matches(argument):
            images = [found]
            if os.path.isdir(found):
                images, others = find_image_files(found)
                left_out += others
            for image in images:
                absolute = os.path.abspath(image)
                if absolute in but:
                    continue
                repeated += absolute in paths
                paths.setdefault(absolute, str(image))
    left_out = [entry for entry in left_out if os.path.abspath(entry.path) not in but]
    if not paths and not but:
        raise UserError(_nothing_message(arguments, left_out))
    notes = []
    if left_out:
        kinds = ", ".join(sorted({entry.reason.split(",")[0] for entry in left_out})[:5])
        notes.append(f"{len(left_out):,} files or folders are not images and are left out ({kinds})"
                     + ("" if private else f"; the first: {left_out[0]}"))
    if repeated:
        notes.append(f"{repeated:,} files are named more than once and predicted once")
    return Inputs(list(paths.values()), notes)


def matches(argument: str) -> list[str]:
    """An existing file or folder, or what a glob pattern matches, sorted; UserError for nothing."""
    if os.path.lexists(argument):
        return [argument]
    if not glob.has_magic(argument):
        raise UserError(f"{printable(argument)}: no such file or folder")
    if not (found := sorted(glob.glob(argument, recursive=True))):
        raise UserError(f"{printable(argument)} matches no file")
    return found


def _nothing_message(arguments: Sequence[str], left_out: Sequence[LeftOut]) -> str:
    where = printable(", ".join(arguments[:3])) + ", …" * (len(arguments) > 3)
    if not left_out:
        return f"{where}: no image files"
    endings: dict[str, int] = {}
    for entry in left_out:
        kind = printable(ending(Path(entry.path)))
        endings[kind] = endings.get(kind, 0) + 1
    return (f"{where}: no image files, but {len(left_out):,} others ({format_counts(endings)}): "
            f"{conversion_advice(endings)}")
