"""Warnings about a split: overlapping patients, unknown patients, missing classes, doubtful ids. Pure functions."""

import numpy as np
import pandas as pd

from data_setup.splits.split_file import SPLITS

LEAKY, UNKNOWN = "LEAKY SPLIT", "PATIENTS UNKNOWN"


def overlapping_subjects(table: pd.DataFrame) -> list[str]:
    """The known patients with slices in more than one split."""
    sides = table.groupby("subject")["split"].nunique()
    return sides.index[sides > 1].tolist()


def identical_across_splits(table: pd.DataFrame) -> np.ndarray:
    """Which rows, bool (slices,), have the same pixels (the same `digest`) as a row of another split."""
    if "digest" not in table:
        return np.zeros(len(table), bool)
    return (table.groupby("digest")["split"].transform("nunique") > 1).to_numpy()        # NaN without a digest


def split_caveats(table: pd.DataFrame) -> tuple[tuple[str, ...], list[str]]:
    """The caveats of the final split, and the reason for each."""
    caveats, reasons = [], []
    both = overlapping_subjects(table)
    if both:
        caveats.append(LEAKY)
        reasons.append(f"{LEAKY}: {len(both)} of {table['subject'].nunique()} patients are in more than one split")
    if copies := int(identical_across_splits(table).sum()):
        caveats = [LEAKY]
        reasons.append(f"{LEAKY}: {copies} of {len(table)} slices have a slice with the same pixels in another split")
    unknown = table["subject"].isna().sum()
    if unknown:
        caveats.append(UNKNOWN)
        reasons.append(f"{UNKNOWN}: the patient of {unknown} of {len(table)} slices is unknown")
    return tuple(caveats), reasons


def id_warnings(table: pd.DataFrame) -> list[str]:
    """Warnings about subject ids that may not identify patients."""
    messages = []
    by_subject = table.groupby("subject")
    mixed = int((by_subject["class"].nunique() > 1).sum())
    if mixed:
        messages.append(f"CHECK: {mixed} of {len(by_subject)} patients have slices in several classes: their stage may "
                         "have changed, or ids may be reused across classes")
    plain = pd.Series(table["subject"].dropna().unique(), dtype=object)
    plain = plain.groupby(plain.map(lambda subject: str(subject).casefold().lstrip("0")))
    if look_alikes := [" and ".join(map(str, group)) for _, group in plain if len(group) > 1]:
        messages.append(f"CHECK: {len(look_alikes)} ids differ only in case or leading zeros and count as "
                         f"different patients: {look_alikes[0]}")
    if len(by_subject) > 20 and by_subject.size().max() == 1:
        messages.append(f"CHECK: each of the {len(by_subject)} patients has exactly one slice: ids may identify "
                         "slices, not patients")
    return messages


def missing_class_notes(table: pd.DataFrame) -> list[str]:
    """One note for each class that is missing from a split."""
    messages = []
    for name, part in table.groupby("class"):
        absent = [split for split in SPLITS if split not in set(part["split"]) and split in set(table["split"])]
        if absent:
            messages.append(f"{name} is not in {' and '.join(absent)} ({part['subject'].nunique()} known patients)")
    return messages
