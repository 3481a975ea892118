"""The output folder: a split by patient, slices in class folders, the manifest."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_setup.splits.balance import balance_notes, sort_keys
from data_setup.splits.split import TEST_SHARE, VAL_SHARE, hold_out
from data_setup.splits.split_file import SPLITS
from data_setup.splits.warnings import missing_class_notes
from data_setup.volumes.convert import file_hash
from data_setup.volumes.discover import Source
from data_setup.volumes.labels import CARRIED, UNLABELLED, Labelled
from data_setup.volumes.new_ids import NewIds, label, place
from data_setup.volumes.preparation import NAME
from data_setup.volumes.slices import Settings

STORE = ".prepared"             # inside the output folder: see convert.py
DRAFT = ".draft"
SHEETS = "contact_sheets"
REPLACED = (*SPLITS, UNLABELLED, SHEETS, STORE, DRAFT)          # folders of the output that each run replaces
SHOWN = 5                       # groups of equal volumes, in a note


class Item(NamedTuple):
    """A converted volume: its class, its subject and session in the output, its place, its names' notes, its record.

    `known` is what the table of labels says of its patient (`labels.CARRIED`).
    """

    klass: str
    subject: str
    session: str
    place: str
    notes: tuple[str, ...]
    record: dict
    known: Mapping[str, str | float] = {}

    @property
    def name(self) -> str:
        """For instance sub-OAS10001_ses-MR1."""
        return f"{label(self.subject)}_ses-{self.session}"


def make_items(sources: Sequence[Source], records: Sequence[dict], labelled: Mapping[int, Labelled],
               ids: NewIds) -> tuple[list[Item], list[tuple[str, str]]]:
    """(the converted volumes, place and reason of the others); `labelled` has the classes by the id() of the source."""
    items, left_out = [], []
    for source, record in zip(sources, records, strict=True):
        if "reason" in record:
            left_out.append((place(source), record["reason"]))
            continue
        subject = ids.subjects[source.subject] if source.series else source.subject
        session = ids.sessions[source.subject, source.session] if source.series else source.session or "1"
        one = labelled[id(source)]
        assert one.klass is not None
        items.append(Item(one.klass, subject, session, place(source), source.notes, record, one.known))
    return items, left_out


def assign(items: Sequence[Item], seed: int) -> tuple[list[str], list[str]]:
    """(the split of every volume, notes on it): TEST_SHARE of the patients of every class in test, VAL_SHARE of the
    rest in val, balanced by sex and age where they are known. Volumes without a class are in UNLABELLED.
    """
    table = pd.DataFrame({"class": [item.klass for item in items], "subject": [item.subject for item in items],
                          "split": ["train" if item.klass != UNLABELLED else UNLABELLED for item in items],
                          "age": [item.known.get("age", np.nan) for item in items],
                          "sex": [item.known.get("sex") for item in items]}, dtype=object)
    for name, share in (("test", TEST_SHARE), ("val", VAL_SHARE)):
        rest = table[table["split"] == "train"]
        if not len(rest):
            return table["split"].tolist(), []
        held = hold_out(rest["class"].tolist(), rest["subject"].tolist(), share, seed, sort_keys(rest))
        table.loc[rest.index[held], "split"] = name
    empty = [name for name in SPLITS if not (table["split"] == name).any()]
    notes = [f"CHECK: no patient is left for {' and '.join(empty)}: training needs a class of at least three patients"
             ] if empty else []
    return table["split"].tolist(), [*notes, *missing_class_notes(table), *balance_notes(table)]


def copied(items: Sequence[Item]) -> list[str]:
    """A note on patients with equal lowest slices: copies of one volume, possibly assigned to different splits."""
    groups: dict[str, set[str]] = {}
    for item in items:
        lowest = Path(item.record["folder"], "z00.png")
        groups.setdefault(file_hash((lowest,)), set()).add(item.subject)
    several = sorted(", ".join(sorted(map(label, group))) for group in groups.values() if len(group) > 1)
    shown = "; ".join(several[:SHOWN]) + "; …" * (len(several) > SHOWN)
    return [f"CHECK: the same volume belongs to several patients ({shown}): if they are one patient, give them one ID "
            "in the table"] if several else []


def folder_of(item: Item, split: str) -> str:
    """The folder of a volume's slices, relative to the output."""
    return UNLABELLED if split == UNLABELLED else f"{split}/{item.klass}"


def manifest(items: Sequence[Item], splits: Sequence[str], settings: Settings) -> pd.DataFrame:
    """One row per slice, with paths relative to the output folder; `--split`, `--subjects` and `--table` read it."""
    carried = [name for name in CARRIED if any(name in item.known for item in items)]
    rows = []
    for item, split in zip(items, splits, strict=True):
        record = item.record
        for number, z in enumerate(record["z"]):
            rows.append({
                "path": f"{folder_of(item, split)}/{item.name}_z{number:02d}.png", "class": item.klass,
                "subject": label(item.subject), "session": item.session, "split": split,
                **{name: item.known.get(name, "") for name in carried}, "z_mm": z,
                "source": item.place, **facts(record, settings, item.notes)})
    return pd.DataFrame(rows)


def facts(record: Mapping, settings: Settings, notes: Sequence[str]) -> dict[str, str | float | int]:
    """What tables say of a converted volume; `notes` are those of its name."""
    return {"sha256": record["sha256"], "axes": record["axes"],
            "affine": " ".join(f"{value:g}" for value in record["affine"]),
            "voxel_mm": " ".join(f"{size:g}" for size in record["spacing"]), "tilt_degrees": record["tilt"],
            "window_low": record["window"][0], "window_high": record["window"][1], "bits": settings.bits,
            "pixel_mm": settings.spacing, "notes": "; ".join((*notes, *record["notes"]))}


def write_folders(out: Path, items: Sequence[Item], splits: Sequence[str]) -> None:
    """OUT/train, val, test and contact_sheets, made in a draft folder and then renamed.

    The manifest and the settings of an earlier run are removed before and have to be written after: without them the
    folders may be incomplete.
    """
    draft = out / DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    for item, split in zip(items, splits, strict=True):
        folder = draft / folder_of(item, split)
        folder.mkdir(parents=True, exist_ok=True)
        stored = Path(item.record["folder"])
        for number in range(len(item.record["z"])):
            _link(stored / f"z{number:02d}.png", folder / f"{item.name}_z{number:02d}.png")
        (draft / SHEETS).mkdir(exist_ok=True)
        _link(stored / "sheet.png", draft / SHEETS / f"{item.name}.png")
    for name in ("manifest.csv", NAME):
        (out / name).unlink(missing_ok=True)
    for name in (*SPLITS, UNLABELLED, SHEETS):
        shutil.rmtree(out / name, ignore_errors=True)
        if (draft / name).is_dir():
            os.rename(draft / name, out / name)
    draft.rmdir()


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there are none."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)
