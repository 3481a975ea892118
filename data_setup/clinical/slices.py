"""The slices of a data set with their patients: class folders, or folders of images whose classes are in a table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_setup.clinical.describe import describe, matched_rows, subject_keys
from data_setup.clinical.table import ClinicalTable
from data_setup.listing.class_folders import Listing, check_class_sets, check_exist, class_name, list_class_folders
from data_setup.listing.file_types import is_image, is_litter
from data_setup.listing.image_files import find_image_files
from data_setup.listing.split_folders import TRAINING
from data_setup.subjects.archive_ids import canonical_id
from data_setup.subjects.find import find_subjects
from data_setup.subjects.path_tables import check_told_apart
from functions.runtime.errors import UserError, printable

NO_CLASS = "no class in the table"
Assign = Callable[[list[str]], tuple[list[str | None], list[str]]]      # paths → (ids, notes)


class Slices(NamedTuple):
    """Rows (path, class, split, subject) and, with a clinical table, age, sex, site and scanner.

    `left_out` and `warnings` are those of a Listing, `notes` of the subjects and the table, `faults` its
    contradictions.
    """

    table: pd.DataFrame
    left_out: list[str]
    warnings: list[str]
    notes: list[str]
    faults: list[str] = []


def list_folders(folders: Mapping[str, Path], clinical: ClinicalTable | None, advice: str = TRAINING) -> Listing:
    """The slices of {split: folder}; the class is None where the folder has no class folders.

    A folder has none if the table has classes, and images lie directly in the folder or most of its folders have names
    of the table's patients. Raises UserError as `list_class_folders`, and for such a folder without images.
    """
    flat = {split: folder for split, folder in folders.items()
            if clinical is not None and clinical.has_class and folder.is_dir() and _is_flat(folder, clinical)}
    if not flat:
        return _list_class_folders(folders, clinical, advice)
    parts = [_list_flat(split, folder) for split, folder in flat.items()]
    if rest := {split: folder for split, folder in folders.items() if split not in flat}:
        parts.append(_list_class_folders(rest, clinical, advice))
    table = pd.concat([part.table for part in parts], ignore_index=True)
    return Listing(table, [line for part in parts for line in part.left_out],
                   [line for part in parts for line in part.warnings])


def _list_class_folders(folders: Mapping[str, Path], clinical: ClinicalTable | None, advice: str) -> Listing:
    try:
        return list_class_folders(folders, advice)
    except UserError as error:
        if clinical is None or clinical.has_class or not any(
                is_image(path.name) for folder in folders.values() for path in folder.iterdir()):
            raise
        raise UserError(f"{error}, or {clinical.file} a column class") from None


def list_patients(folders: Mapping[str, Path], assign: Assign, clinical: ClinicalTable | None,
                  advice: str = TRAINING) -> Slices:
    """The slices of {split: folder} for a run, with patients by `assign` and what the clinical table says of them.

    Raises UserError as `list_folders`, `with_patients`, and `check_class_sets`: at least two classes.
    """
    check_exist(folders)
    listing = list_folders(folders, clinical, advice)
    check_told_apart(listing.table["path"].tolist())
    if listing.table["class"].notna().all():
        check_class_sets(listing.table, folders)
    found = with_patients(listing, assign, clinical)
    check_class_sets(found.table, folders)
    return found


def with_patients(listing: Listing, assign: Assign, clinical: ClinicalTable | None) -> Slices:
    """A listing with patients and, with a table, what it says of them; slices without a class are left out.

    Folders' classes stay; a slice in another folder than that of its class in the table is refused.
    Raises UserError as `describe`, and if no slice has a class.
    """
    table = listing.table
    ids, notes = assign(table["path"].tolist())
    table = table.assign(subject=pd.Series(ids, index=table.index, dtype=object))
    if clinical is None:
        return Slices(table, listing.left_out, listing.warnings, notes)
    from_table = table["class"].isna()
    said = describe(clinical, table["path"].tolist(), ids, needs_class=bool(from_table.any()))
    notes = [*notes, *clinical.notes, *said.notes]
    given = said.table["class"].set_axis(table.index)
    notes += _compare_classes(clinical, table, given)
    lost = from_table & given.isna()
    if lost.all():
        raise UserError(f"{clinical.file}: none of the {len(table):,} images has a class, the first "
                        f"{printable(table['path'].iloc[0])}")
    if lost.any():
        notes.append(f"{clinical.file}: {lost.sum():,} images of {table['subject'][lost].nunique():,} known patients "
                     "have no class and are left out")
    left_out = [*listing.left_out, *(f"{printable(path)}: {NO_CLASS}" for path in table["path"][lost])]
    table = table.assign(**{"class": table["class"].where(~from_table, given)}, **{
        name: said.table[name].set_axis(table.index) for name in ("age", "sex", "site", "scanner")})
    return Slices(table[~lost].reset_index(drop=True), left_out, listing.warnings, notes, said.faults)


def patients_of_table(clinical: ClinicalTable | None, paths: list[str]) -> list[str | None]:
    """The patient of each path by the table's own columns path and subject; None where it has none."""
    if clinical is None:
        return [None] * len(paths)
    return [row.subject if row else None for row in matched_rows(clinical, paths)]


def _compare_classes(clinical: ClinicalTable, table: pd.DataFrame, given: pd.Series) -> list[str]:
    """A note on classes of the table that no folder is named after; UserError for a slice in the folder of another one.
    """
    both = table["class"].notna() & given.notna()
    of_folders = set(table["class"][both])
    other = both & given.isin(of_folders) & (table["class"] != given)
    if other.any():
        at = other.idxmax()
        raise UserError(f"{clinical.file}: {other.sum():,} images have another class than their folder, the first "
                        f"{printable(table['path'][at])}, {printable(given[at])} in the table: correct one of them, or "
                        "remove the column from the table")
    foreign = both & ~given.isin(of_folders)
    if not foreign.any():
        return []
    names = ", ".join(printable(name) for name in sorted(set(given[foreign]))[:6])
    return [f"classes are those of the folders; {clinical.file} has other names for {foreign.sum():,} of "
            f"{both.sum():,} images ({names}), which are not used"]


def _is_flat(folder: Path, clinical: ClinicalTable) -> bool:
    """Whether images lie directly in the folder, or most of its folders are named after patients and not classes."""
    inside = [path for path in sorted(folder.iterdir()) if not is_litter(path.name)]
    if any(path.is_file() and is_image(path.name) for path in inside):
        return True
    names = [path.name for path in inside if path.is_dir()]
    patients = {row.subject for row in clinical.rows if row.subject}
    classes = {row.values["class"] for row in clinical.rows}
    named = [name for name in names if any(set(subject_keys(one, clinical.by_rid)) & patients for one in _ids(name))]
    return len(named) * 2 > len(names) and not {class_name(name) for name in names} <= classes


def _ids(name: str) -> list[str]:
    return [one for one in (canonical_id(name), *find_subjects([name])) if one]


def _list_flat(split: str, folder: Path) -> Listing:
    images, others = find_image_files(folder, {})
    if not images:
        raise UserError(f"{folder} holds no images that can be read")
    suspicious = [entry for entry in others if entry.suspicious]
    warnings = [f"{len(suspicious):,} files or folders in {printable(folder)} are left out, the first "
                f"{suspicious[0]}"] if suspicious else []
    table = pd.DataFrame([(str(path), None, split) for path in images], columns=["path", "class", "split"],
                         dtype=object)
    return Listing(table, [str(entry) for entry in others], warnings)


def assign_with_table(clinical: ClinicalTable | None, given: bool, assign: Assign) -> Assign:
    """`assign`, but with the table's own patients first where no `given` subjects or pattern decide."""
    if clinical is None or given:
        return assign

    def both(paths: list[str]) -> tuple[list[str | None], list[str]]:
        own = patients_of_table(clinical, paths)
        if all(own):
            return own, []
        ids, notes = assign(paths)
        return [one or other for one, other in zip(own, ids, strict=True)], notes

    return both
