"""Audit of a data set before training: patients, copies, shortcuts, damage, balance."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from data_setup.audit.file_checks import Files, read_files
from data_setup.audit.file_features import file_features
from data_setup.audit.leakage_effect import leakage_effect
from data_setup.audit.pixel_links import groups_without_chance
from data_setup.audit.shortcuts import find_shortcuts
from data_setup.clinical.slices import assign_with_table, list_folders, with_patients
from data_setup.clinical.table import ClinicalTable
from data_setup.images.read import read_image
from data_setup.listing.class_folders import Listing, check_class_sets, class_name
from data_setup.listing.split_folders import find_split_folders, split_of
from data_setup.similarity.copies import find_copies
from data_setup.similarity.neighbours import Neighbours, find_neighbours
from data_setup.splits.warnings import overlapping_subjects
from data_setup.subjects.find import subjects_of_slices
from data_setup.subjects.from_pixels import PREFIX, group_by_pixels
from data_setup.subjects.path_tables import from_table, read_path_table
from data_setup.subjects.proposed_patterns import subject_advice
from functions.runtime.errors import UserError, not_a_file, printable

FEW = 5                       # patients per class, below which scores cannot be estimated
ICC = 0.9                     # assumed intraclass correlation of a patient's slices
NAMED = 5                     # files that a finding lists; the page lists all


@dataclass
class Audit:
    """Findings, and the numbers behind them, in plain types; `table` has path, class, split, subject, digest, group."""

    table: pd.DataFrame
    findings: list[dict] = field(default_factory=list)       # what (leak, copies, …), wrong (with --strict), text
    numbers: dict = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)     # heading → paths of images

    def subject_table(self) -> pd.DataFrame:
        """A subject table (path, subject) of the groups found from pixels, for --subjects."""
        assigned = self.table[self.table["group"] >= 0]
        return pd.DataFrame({"path": assigned["path"], "subject": [f"{PREFIX}{g:04d}" for g in assigned["group"]]})

    def add(self, what: str, text: str, wrong: bool = True) -> None:
        """Adds a finding; `wrong` is False for a note that is not an error."""
        self.findings.append({"what": what, "wrong": wrong, "text": text})


ADVICE = "rename one of them, or audit the class folders by a CSV with columns path, class, split"


def list_data(data: Path, clinical: ClinicalTable | None = None) -> Listing:
    """The slices (path, class, split) of DATA, and what is left out of it.

    DATA is a folder with train/, test/ and val/ of class folders (by any name in `split_folders`), class folders alone
    (all "train"), or a CSV with path, class and split. With a clinical table, folders need no class folders; the class
    is None there.
    Raises UserError if DATA is missing, or has test/ or val/ and no train/.
    """
    if not data.is_dir() and (why := not_a_file(data)) not in ("", "no such file"):
        raise UserError(f"{data} is {why}")
    if not data.exists():
        raise UserError(f"{data} does not exist: give class folders, a folder with train/ and test/, or a split.csv")
    if data.is_file():
        table = read_path_table(data, ["path", "class", "split"], ["subject"])
        located = from_table(data, table["path"].tolist())
        splits = [split_of(name) or name for name in table["split"]]
        table = table.assign(**{"path": located, "class": table["class"].map(class_name), "split": splits})
        return Listing(table, [], [])
    found = find_split_folders(data, ADVICE, clinical is not None and clinical.has_class)
    if found is None:
        return _list_folders({"train": data}, clinical)
    if "train" not in found.folders:
        only = next(iter(found.folders.values()))
        raise UserError(f"{data} holds {only.name}/ but no train/: add train/ in the same folder, or audit "
                        f"{only} alone")
    listing = _list_folders(found.folders, clinical)
    beside = [f"{printable(path)}: beside {found.folders['train'].name}/, in no split" for path in found.beside]
    return listing._replace(left_out=[*beside, *listing.left_out])


def _list_folders(folders: Mapping[str, Path], clinical: ClinicalTable | None) -> Listing:
    listing = list_folders(folders, clinical, ADVICE)
    if listing.table["class"].notna().all():
        check_class_sets(listing.table, folders)
    return listing


def audit(table: pd.DataFrame, others: Sequence[str], warnings: Sequence[str] = (), subjects=None,
          pattern: str | None = None, progress: Callable = lambda work, total: work,
          clinical: ClinicalTable | None = None) -> Audit:
    """Audits slices in rows of (path, class, split); `others` are files and folders left out, each with its reason,
    `warnings` say which of them may be slices.

    `subjects` and `pattern` are those of `find_subjects`; `progress(iterable, total)` may show a bar. With a clinical
    table, the slices have its columns too, and its contradictions are faults.
    """
    def assign(paths: list[str]) -> tuple[list[str | None], list[str]]:
        return subjects_of_slices(table, subjects, pattern, "the table")

    given = subjects is not None or pattern is not None or "subject" in table
    slices = with_patients(Listing(table, list(others), list(warnings)), assign_with_table(clinical, given, assign),
                           clinical)
    others, paths = slices.left_out, slices.table["path"].tolist()
    files = read_files(paths, progress)
    found = Audit(slices.table.assign(digest=files.digests))
    for note in slices.notes:
        found.add("patients" if clinical is None else "table", note, wrong=False)
    for fault in slices.faults:
        found.add("table", fault)
    _left_out(found, others, warnings)
    _damage(found, files, others)
    readable = [row for row in range(len(paths)) if row not in files.unreadable]
    if not readable:
        raise UserError(f"none of the {len(paths)} files can be read; the first: {files.unreadable[0]}")
    found.table = found.table.iloc[readable].reset_index(drop=True)
    images = [files.images[row] for row in readable]
    neighbours = find_neighbours(images)
    _patients(found, images, neighbours)
    _balance(found)
    _copies(found, images, neighbours)
    _leak(found, neighbours)
    _shortcuts(found)
    return found


def _shortcuts(found: Audit) -> None:
    paths, labels = found.table["path"], pd.factorize(found.table["class"], sort=True)[0]
    shortcuts = find_shortcuts(lambda row: file_features(paths[row], read_image(paths[row], 1)[:, :, 0]), labels,
                               found.table["who"].to_numpy())
    for shortcut in shortcuts:
        if shortcut.found:
            found.add("shortcut", shortcut.message, wrong=shortcut.trace != "name")  # names are no model input
    found.numbers["shortcuts"] = [shortcut._asdict() for shortcut in shortcuts]


def _left_out(found: Audit, others: Sequence[str], warnings: Sequence[str]) -> None:
    for warning in warnings:
        found.add("left out", warning)
    if others:
        more = f"; and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        found.add("left out", f"{len(others):,} files or folders are left out: {'; '.join(others[:NAMED])}{more}",
                  wrong=False)


def _damage(found: Audit, files: Files, others: Sequence[str]) -> None:
    paths = found.table["path"]
    found.numbers["damage"] = {"unreadable": list(files.unreadable.values()), "no images": list(others),
                               "odd": [f"{paths[row]}: {why}" for row, why in files.unusual.items()]}
    if files.unreadable:
        found.add("damage", f"{len(files.unreadable)} of {len(paths)} files cannot be read; the first: "
                            f"{next(iter(files.unreadable.values()))}")
    for why, count in Counter(files.unusual.values()).most_common():
        flat = why in ("all black", "of one colour")
        found.add("damage", f"{count} slices are {why}" + ("" if flat else ", which is unusual"), wrong=flat)
    sizes = Counter(size for size in files.sizes if size)
    found.numbers["sizes"] = {f"{height}x{width}": count for (height, width), count in sizes.most_common(10)}
    if len(sizes) > 1:
        (height, width), count = sizes.most_common(1)[0]
        found.add("damage", f"slices have {len(sizes)} sizes; {count} are {height}x{width}", wrong=False)
    found.examples["unusual files"] = [paths[row] for row in list(files.unusual)[:8]]


def _patients(found: Audit, images: list[np.ndarray], neighbours: Neighbours) -> None:
    """Column `who`: the known patient, else the group of its pixels, else the slice itself."""
    table, groups = found.table, group_by_pixels(images, neighbours)
    table["group"] = groups.groups
    table["linked"], by_chance = groups_without_chance(table["subject"], groups.groups, groups.pairs)
    known = table["subject"].notna()
    by_pixels = table["group"].map(lambda group: f"{PREFIX}{group:04d}" if group >= 0 else None)
    table["who"] = table["subject"].where(known, by_pixels if not known.any() else None)
    table["who"] = table["who"].where(table["who"].notna(), table["path"])
    found.numbers["patients"] = {"known by name or table": int(table["subject"].nunique()),
                                 "slices without a known patient": int((~known).sum()), "from pixels": groups.verdict,
                                 "links": groups.links, "false_link_rate": groups.false_link_rate}
    both = (known & (table["group"] >= 0)).to_numpy()
    if both.sum() > 1:
        agree = adjusted_rand_score(table["subject"][both], table["group"][both])
        found.numbers["patients"]["agreement of pixels with names (adjusted Rand index)"] = float(agree)
    if by_chance:
        found.add("patients", f"{by_chance} of the {groups.links} links from pixels each join two patients by one pair "
                  "of images: taken for chance, as links are rare here and the method is for stacks of brain slices",
                  wrong=False)
    advice = subject_advice(table["path"].tolist(), table["class"].tolist()) if not known.all() else ""
    if not known.any():
        found.add("patients", f"no file name contains a patient id; {groups.verdict}: {advice}",
                  wrong=groups.links == 0)
    elif not known.all():
        found.add("patients", f"{(~known).sum()} of {len(table)} slices have no patient id in their names: {advice}")


def _balance(found: Audit) -> None:
    table = found.table
    patient = table["who"].where(table["who"] != table["path"])       # slices of unknown patients are not patients
    counts = table.assign(patient=patient).groupby("class").agg(
        slices=("path", "size"), patients=("patient", "nunique"), unassigned=("patient", lambda who: who.isna().sum()))
    m = patient.notna().sum() / max(patient.nunique(), 1)             # slices per known patient
    effective = float(len(table) / (1 + (m - 1) * ICC)) if m else None
    found.numbers["balance"] = {
        "classes": counts.to_dict("index"), "patients": int(patient.nunique()), "slices": len(table),
        "slices of unknown patients": int(patient.isna().sum()),
        "effective sample size": effective, "intraclass correlation, assumed": ICC,
        "largest class": str(counts["slices"].idxmax()),
        "accuracy of always answering it": float(counts["slices"].max() / len(table)),
        "by split": {"/".join(key): int(n) for key, n in table.groupby(["split", "class"]).size().items()}}
    few = counts.index[counts["patients"] + counts["unassigned"] < FEW].tolist()
    if few:
        found.add("balance", "too few patients for a score, fewer than five: "
                  + ", ".join(f"{name} ({counts['patients'][name]})" for name in few), wrong=False)


def _copies(found: Audit, images: list[np.ndarray], neighbours: Neighbours) -> None:
    table = found.table
    copies = find_copies(images, table["digest"].tolist(), neighbours)
    rows = [{"kind": copy.kind, "first": table["path"][copy.first], "second": table["path"][copy.second],
             "across splits": bool(table["split"][copy.first] != table["split"][copy.second]),
             "two labels": bool(table["class"][copy.first] != table["class"][copy.second]),
             "distance": copy.distance} for copy in copies]
    found.numbers["copies"] = rows
    for kind, verb, text in (("exact", "have", "identical pixels"), ("near", "are", "altered copies of one slice")):
        pairs = [row for row in rows if row["kind"] == kind]
        if pairs:
            across = sum(row["across splits"] for row in pairs)
            found.add("copies", f"{len(pairs)} pairs of files {verb} {text}"
                                + (f", {across} of them across splits" if across else ""))
            found.examples[text] = [path for row in pairs[:4] for path in (row["first"], row["second"])]
    if labels := [row for row in rows if row["two labels"]]:
        found.add("copies", f"{len(labels)} pairs of copies have two labels; the first: {labels[0]['first']} and "
                            f"{labels[0]['second']}")


def _leak(found: Audit, neighbours: Neighbours) -> None:
    table = found.table
    if table["split"].nunique() < 2:
        return
    for column, source in (("subject", "by name"), ("linked", "by their pixels")):
        assigned = table[table[column].notna() & (table[column] != -1)]
        both = overlapping_subjects(assigned.assign(subject=assigned[column])) if len(assigned) else []
        num_test_patients = assigned[assigned["split"] == "test"][column].nunique()
        found.numbers.setdefault("leak", {})[source] = {
            "in several splits": len(both), "patients": int(assigned[column].nunique()),
            "in test": int(num_test_patients)}
        patients = found.numbers["patients"]
        by_chance = max(2, patients["links"] * patients["false_link_rate"] / 2) if source == "by their pixels" else 0
        if len(both) > by_chance:                # some pixel groups merge patients: upper bound
            found.add("leak", f"{len(both)} of {assigned[column].nunique()} patients are in more than one split, "
                              f"{source}")
    test = (table["split"] == "test").to_numpy()
    labels = pd.factorize(table["class"], sort=True)[0]
    effect = leakage_effect(neighbours, labels, pd.factorize(table["who"])[0], test)
    if effect:
        found.numbers["leak"]["nearest neighbour"] = effect._asdict()
        if effect.gap[1] > 0:
            found.add("leak", f"a nearest neighbour classifies {effect.as_split[0]:.1%} of the test slices correctly "
                      f"with this split, {effect.other_patients[0]:.1%} with slices of the same patient excluded: "
                      f"the leakage effect is {100 * effect.gap[0]:.0f} points "
                      f"[{100 * effect.gap[1]:.0f} to {100 * effect.gap[2]:.0f}]")
