"""Patient-level splits: subjects → train, validation and test, stratified by class, reproducible on any machine.

A table is a DataFrame with the columns path, class, subject (an id, or None where unknown) and split ('train', 'val',
'test'), one row per slice. A split is written to a file and read back (`split_file.py`) rather than recomputed.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_setup.splits.balance import balance_notes, sort_keys
from data_setup.splits.split_file import COLUMNS, SPLITS, read_split
from data_setup.splits.warnings import id_warnings, missing_class_notes, overlapping_subjects, split_caveats
from data_setup.subjects.path_tables import common_folders
from data_setup.subjects.proposed_patterns import subject_advice
from functions.runtime.errors import UserError

MODES = ("auto", "folder", "patient", "slice")
TEST_SHARE = 0.2        # of all patients, where no folder says otherwise
VAL_SHARE = 0.15        # of the training patients, where no folder says otherwise


class Split(NamedTuple):
    """The table with its final split, notes on how it was made, and the caveats that every result carries."""

    table: pd.DataFrame
    notes: tuple[str, ...]
    caveats: tuple[str, ...]


def hold_out(classes: Sequence[str], subjects: Sequence[str | None], share: float, seed: int,
             balance: Sequence[float] | None = None) -> np.ndarray:
    """Which slices to hold out, bool (slices,): whole patients, about `share` of the patients of every class.

    Patients are drawn, not slices. Of the n patients of a class, ⌊n · share⌋ are drawn, or one more at random, so
    that n · share are expected; at least one and never all. The only patient of a class is not held out. To balance
    the number of slices too, a class's patients are sorted by their number of slices and divided into as many
    groups as patients are drawn, and one patient of each group is drawn. The probability of a patient is then about
    `share` (1/n in a class of n < 1/share patients), whatever their number of slices (scikit-learn's
    StratifiedGroupKFold puts the patients with most slices into the same fold for every seed). A patient with
    slices of several classes is drawn among those of the same classes, or of the rarest of them (`strata_of`). A
    slice of an unknown patient counts as a patient. With `balance` (slices,), of `balance.sort_keys`, patients are
    sorted by it instead of their number of slices, so that it is balanced.
    """
    classes, groups = np.asarray(classes, dtype=str), group_numbers(subjects)
    classes_of = defaultdict(set)
    for group, name in zip(groups.tolist(), classes.tolist(), strict=True):
        classes_of[group].add(name)
    patients, first, slices = np.unique(groups, return_index=True, return_counts=True)
    key = slices if balance is None else np.asarray(balance)[first]
    strata = strata_of(pd.Series([tuple(sorted(classes_of[group])) for group in patients.tolist()]), share).to_numpy()
    generator, held = np.random.default_rng(seed), []
    for stratum in sorted(set(strata)):
        inside = np.flatnonzero(strata == stratum)
        count = len(inside)
        expected = count * share
        drawn = int(expected) + int(generator.random() < expected % 1)
        drawn = max(1, min(drawn, count - 1)) if count > 1 else 0
        shuffled = inside[generator.permutation(count)]
        order = patients[shuffled[np.argsort(key[shuffled], kind="stable")]]
        sizes = generator.permutation([len(part) for part in np.array_split(order, drawn)]) if drawn else []
        ends = np.cumsum(sizes, dtype=int)
        held += [order[generator.integers(end - size, end)] for size, end in zip(sizes, ends, strict=True)]
    return np.isin(groups, held)


def apply_split(table: pd.DataFrame, mode: str | Path = "auto", seed: int = 0) -> Split:
    """The final split of a table, and notes that give the reason.

    mode 'auto': the folders as they are, unless a patient is in two of them; then all slices are pooled and split again
    by patient. 'folder': the folders as they are, with the caveat LEAKY SPLIT if patients overlap. 'patient': always
    split again. 'slice': split again slice by slice, as many published results were, with the caveat LEAKY SPLIT, to
    measure the effect of the leakage. Anything else: a CSV (`split_file.read_split`). Test and validation, where there
    is no such folder, are held out from train the same way. Slices of unknown patients count as one patient each and
    give the caveat PATIENTS UNKNOWN. With a column digest (of the pixels, None for blank slices), identical slices of
    unknown patients are held out together, and identical slices in two splits give the caveat LEAKY SPLIT. With columns
    age and sex, what is held out has patients of all ages and both sexes (`balance.py`), and a note says how well.
    Raises UserError for a duplicate path, no training slices, 'patient' where no patient is known, or an invalid CSV.
    """
    columns = [*COLUMNS, *(name for name in ("digest", "age", "sex") if name in table)]
    table = table[columns].astype(object).reset_index(drop=True).sort_values("path", key=lambda path: path.map(str))
    table["subject"] = table["subject"].where(table["subject"].notna(), None)
    if table["path"].duplicated().any():
        raise UserError(f"{table['path'][table['path'].duplicated()].iloc[0]} is in the data twice")
    notes = []
    if str(mode) not in MODES:
        table, notes = read_split(mode, table)
        notes = [f"the split is read from {mode}", *notes]
    elif mode == "patient" and table["subject"].isna().all():
        raise UserError("--split patient: no patient is known; "
                        + subject_advice([str(path) for path in table["path"]], table["class"].tolist(), auto=True))
    elif (mode in ("patient", "slice") and table["split"].nunique() > 1) or (
            mode == "auto" and overlapping_subjects(table)):
        table, note = _pool_and_split(table, mode, seed)
        notes.append(note)
    else:
        notes.append("folders as they are")
    for name, share in (("test", TEST_SHARE), ("val", VAL_SHARE)):
        if not (table["split"] == name).any():
            notes.append(_hold_out_split(table, name, share, seed, mode))
    if not (table["split"] == "train").any():
        raise UserError(f"no training slices among {len(table)}")
    caveats, reasons = split_caveats(table)
    notes += [*missing_class_notes(table), *balance_notes(table), *id_warnings(table), *reasons]
    return Split(table[COLUMNS].sort_index(), tuple(notes), caveats)


def split_hash(table: pd.DataFrame) -> str:
    """SHA-256 of the sorted rows (path, class, subject, split), with paths relative to their common folder."""
    parts = [PurePath(path).parts for path in table["path"]]
    shared = common_folders(parts)
    subjects = [None if pd.isna(subject) else str(subject) for subject in table["subject"]]
    rows = zip(["/".join(path[shared:]) for path in parts], table["class"], subjects, table["split"], strict=True)
    return hashlib.sha256("\n".join(sorted(json.dumps(row) for row in rows)).encode()).hexdigest()


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """Known patients and slices of every class (rows, the last '(all)') in every split (columns), for printing."""
    columns = {}
    for name in SPLITS:
        part = table[table["split"] == name]
        for what, count in (("patients", "nunique"), ("slices", "size")):
            counts = part.groupby("class")["subject"].agg(count).reindex(sorted(set(table["class"])), fill_value=0)
            counts.loc["(all)"] = part["subject"].nunique() if what == "patients" else len(part)
            columns[name, what] = counts
    return pd.DataFrame(columns).astype(int)


def strata_of(classes: pd.Series, share: float) -> pd.Series:
    """The stratum of each patient, from the patients' classes (a sorted tuple each).

    A stratum is a combination of classes. Where `share` of its patients is less than one, they join the stratum of the
    rarest of their classes; if that is too small as well, the largest other stratum that contains this class. So every
    patient can be drawn, except the only patient of a class. Where each patient has one class, strata are classes.
    """
    num_patients = Counter(name for each in classes for name in each)
    rarest = classes.map(lambda each: min(each, key=lambda name: (num_patients[name], name)))
    small = classes.map(classes.value_counts()) * share < 1
    strata = classes.map("\0".join).where(~small, rarest)
    for name in sorted(set(rarest[small])):
        inside = strata == name
        others = strata[classes.map(lambda each, name=name: name in each) & ~inside].value_counts()
        if inside.sum() * share < 1 and len(others):
            strata[inside] = min(others.index, key=lambda other, others=others: (-others[other], other))
    return strata


def group_numbers(subjects: Sequence[str | None]) -> np.ndarray:
    """One number per patient, (slices,): known patients in the order of their ids, then every unknown slice by itself.
    """
    subjects = pd.Series(subjects, dtype=object)
    groups, known = pd.factorize(subjects.where(subjects.notna(), None), sort=True)     # unknown: -1
    groups[groups < 0] = len(known) + np.arange((groups < 0).sum())
    return groups


def _subjects_or_digests(table: pd.DataFrame) -> pd.Series:
    """The subjects; identical slices of unknown patients share an id."""
    if "digest" not in table:
        return table["subject"]
    duplicated = table["digest"].notna() & table["digest"].duplicated(keep=False)
    return table["subject"].where(table["subject"].notna() | ~duplicated, "\0" + table["digest"].astype(str))


def _num_patients(table: pd.DataFrame, name: str) -> int:
    return table.loc[table["split"] == name, "subject"].nunique()


def _pool_and_split(table: pd.DataFrame, mode: str, seed: int) -> tuple[pd.DataFrame, str]:
    """Pools all folders and splits again by patient, in the folders' proportions: (table, the reason and the counts).
    """
    shares = {name: (table["split"] == name).mean() for name in SPLITS}
    both, patients = len(overlapping_subjects(table)), table["subject"].nunique()
    folders = [name for name in SPLITS if shares[name]]
    table = table.assign(split="train").astype(object)
    for name in ("test", "val"):
        if shares[name]:
            left = 1 if name == "test" else 1 - shares["test"]
            _hold_out_split(table, name, 1 / np.clip(round(left / shares[name]), 2, 10), seed, mode)
    if mode == "slice":
        return table, "--split slice: pooled and split again slice by slice, patients overlap between splits"
    where = "both" if len(folders) == 2 else "more than one of"
    reason = f"{both} of {patients} patients are in {where} {' and '.join(folders)}" if both else f"--split {mode}"
    counts = ", ".join(f"{_num_patients(table, name)} {name}" for name in folders)
    return table, f"{reason}: pooled and split again by patient ({counts})"


def _hold_out_split(table: pd.DataFrame, name: str, share: float, seed: int, mode: str | Path) -> str:
    """Moves about `share` of the training slices, whole patients, to the split `name`, in place; returns a note."""
    train = table.index[table["split"] == "train"]
    subjects = [None] * len(train) if mode == "slice" else _subjects_or_digests(table.loc[train])
    held = hold_out(table.loc[train, "class"], subjects, share, seed,
                    None if mode == "slice" else sort_keys(table.loc[train]))
    before = _num_patients(table, "train")
    table.loc[train[held], "split"] = name
    if not held.any():
        return f"{name} is empty: train has too few patients to hold one out"
    if mode == "slice":
        return f"{name} is held out from train slice by slice: {held.sum()} of {len(held)} slices"
    return (f"{name} is held out from train by patient: {_num_patients(table, name)} of {before} known patients, "
            f"{held.sum()} of {len(held)} slices")
