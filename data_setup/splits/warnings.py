"""What must be said about a split: overlaps, unknown patients, missing classes, doubtful ids. Pure functions."""

import numpy as np
import pandas as pd

from data_setup.splits.split_file import SPLITS

LEAKY, UNKNOWN = "LEAKY SPLIT", "PATIENTS UNKNOWN"


def overlap(table: pd.DataFrame) -> list[str]:
    """The known patients who stand in more than one split."""
    sides = table.groupby("subject")["split"].nunique()
    return sides.index[sides > 1].tolist()


def identical_across(table: pd.DataFrame) -> np.ndarray:
    """Which rows, bool (slices,), have a slice with the same pixels (the same `digest`) in another split."""
    if "digest" not in table:
        return np.zeros(len(table), bool)
    return (table.groupby("digest")["split"].transform("nunique") > 1).to_numpy()        # NaN without a digest


def stamps(table: pd.DataFrame) -> tuple[tuple[str, ...], list[str]]:
    """The stamps that the final split deserves, and the reason for each."""
    marks, reasons = [], []
    both = overlap(table)
    if both:
        marks.append(LEAKY)
        reasons.append(f"{LEAKY}: {len(both)} of {table['subject'].nunique()} patients stand in more than one split")
    if copies := int(identical_across(table).sum()):
        marks = [LEAKY]
        reasons.append(f"{LEAKY}: {copies} of {len(table)} slices have a slice with the same pixels in another split")
    unknown = table["subject"].isna().sum()
    if unknown:
        marks.append(UNKNOWN)
        reasons.append(f"{UNKNOWN}: nobody can tell whose {unknown} of {len(table)} slices are")
    return tuple(marks), reasons


def doubts(table: pd.DataFrame) -> list[str]:
    """Sentences on ids that may not be patients' at all."""
    sentences = []
    people = table.groupby("subject")
    mixed = int((people["class"].nunique() > 1).sum())
    if mixed:
        sentences.append(f"CHECK: {mixed} of {len(people)} patients have slices in several classes: did their stage "
                         "change, or do the ids start anew in each class?")
    plain = pd.Series(table["subject"].dropna().unique(), dtype=object)
    plain = plain.groupby(plain.map(lambda subject: str(subject).casefold().lstrip("0")))
    if twins := [" and ".join(map(str, group)) for _, group in plain if len(group) > 1]:
        sentences.append(f"CHECK: {len(twins)} ids differ in upper and lower case or leading zeros alone, and count as "
                         f"different patients: {twins[0]}")
    if len(people) > 20 and people.size().max() == 1:
        sentences.append(f"CHECK: each of the {len(people)} patients has exactly one slice: do the ids name slices?")
    return sentences


def absent(table: pd.DataFrame) -> list[str]:
    """A sentence for each class that some split does not have."""
    sentences = []
    for name, part in table.groupby("class"):
        absent = [split for split in SPLITS if split not in set(part["split"]) and split in set(table["split"])]
        if absent:
            sentences.append(f"{name} is not in {' and '.join(absent)} ({part['subject'].nunique()} known patients)")
    return sentences
