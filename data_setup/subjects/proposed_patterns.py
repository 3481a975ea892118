"""Proposes a --subject_pattern for unknown file namings from the file names, and checks it against the pixels."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

MIN_SHARE = 0.9     # share of the files whose names must have the same form
CHECKED = 1000      # slices that are compared: a similarity matrix of 4 MB
SIDE = 32           # side of the compared images, in pixels
CONFIRMED = 0.5     # chance-corrected agreement (as Cohen's kappa) that confirms a pattern


class Proposal(NamedTuple):
    """A regular expression with a group `subject`, and the subject of each path."""

    pattern: str
    subjects: list[str | None]


def subject_advice(paths: Sequence[str], classes: Sequence[str], images: Tensor | None = None,
                   auto: bool = False) -> str:
    """How to assign patients: a table, a pattern, and `auto` where the script supports it.

    `images` (n, C, H, W) of the first slices confirm or reject the patterns that the file names suggest.
    """
    advice = "give --subjects FILE.csv or --subject_pattern REGEX" + " or --subjects auto (from the pixels)" * auto
    proposals, why = propose_patterns(paths, classes), "if the file names mean this"
    if images is not None and proposals:
        agreements = [agreement(images, proposal.subjects[:len(images)]) for proposal in proposals]
        best = max(agreements)
        proposals = [proposals[agreements.index(best)]] if best >= CONFIRMED else []
        why = f"the most similar other slice has the same id in {best:.0%} of cases beyond chance"
    if not proposals:
        return advice
    pattern, subjects = proposals[0]
    first = next(row for row, subject in enumerate(subjects) if subject is not None)
    return (f"{advice}; --subject_pattern {shlex.quote(pattern)} finds {len(set(subjects) - {None})} patients, "
            f"{subjects[first]} in {PurePath(paths[first]).name} ({why})")


def propose_patterns(paths: Sequence[str], classes: Sequence[str]) -> list[Proposal]:
    """Patterns that divide the paths into subjects of several slices: one folder per patient, then a number in the
    name.

    If most subjects would have slices in several classes, numbering restarts in each class, and the id includes the
    class.
    """
    posix = [PurePath(path).as_posix() for path in paths]
    names = "|".join(re.escape(name) for name in sorted(set(classes)))
    proposals = []
    for before, inside, after in (*_folder_parts(names), *_name_parts([PurePath(path).name for path in posix])):
        pattern = f"{before}(?P<subject>{inside}){after}"
        subjects = _subjects(pattern, posix)
        if _look_like_patients(subjects, classes) and _ids_restart(subjects, classes):
            pattern = f"/(?P<subject>(?:{names}){before}{inside}){after}"
            subjects = _subjects(pattern, posix)
        if _look_like_patients(subjects, classes):
            proposals.append(Proposal(pattern, subjects))
    return proposals


def agreement(images: Tensor, subjects: Sequence[str | None]) -> float:
    """Whether the most similar other slice has the same subject: (share - chance) / (1 - chance), over known subjects.

    Slices (n, C, H, W) are compared by their correlation at SIDE x SIDE pixels; 0 is chance, 1 is always.
    """
    rows = [row for row, subject in enumerate(subjects) if subject is not None]
    numbers = torch.from_numpy(pd.factorize(pd.Series([subjects[row] for row in rows], dtype=object))[0])
    if len(rows) < 2 or numbers.max() == 0:
        return 0.0
    small = torch.cat([adaptive_avg_pool2d(part.float().mean(dim=1, keepdim=True), SIDE)
                       for part in images[rows].split(64)]).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    small = small / small.norm(dim=1, keepdim=True).clamp(min=1e-6)
    similar = (small @ small.T).fill_diagonal_(-torch.inf)
    share = (numbers[similar.argmax(dim=1)] == numbers).double().mean().item()
    chance = ((numbers.bincount().double() / len(rows)) ** 2).sum().item()
    return (share - chance) / (1 - chance)


def _folder_parts(classes: str) -> list[tuple[str, str, str]]:
    """(before, subject, after): the folder that contains the image, and the folder below the class folder."""
    return [(rf"/(?:{classes})/", "[^/]+", "/"), ("/", "[^/]+", "/[^/]+$")]


def _name_parts(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(before, subject, after) for each number in the file names that another number follows or precedes.

    Letters between numbers are kept where they are the same in all names. Names of another form are ignored.
    """
    split = [re.split(r"(\d+)", PurePath(name).stem) for name in names]      # letters, number, letters, number, letters
    length, count = Counter(map(len, split)).most_common(1)[0]
    if length < 5 or count < MIN_SHARE * len(names):
        return []
    columns = list(zip(*(parts for parts in split if len(parts) == length), strict=True))
    pieces = [r"\d+" if place % 2 else _letters(set(column)) for place, column in enumerate(columns)]
    found = []
    for place in range(1, length, 2):
        start = place if len(set(columns[place - 1])) == 1 else place - 1       # varying letters belong to the id
        found.append(("/" + "".join(pieces[:start]), "".join(pieces[start:place + 1]),
                      "".join(pieces[place + 1:]) + r"\.[^./]+$"))
    return found


def _letters(texts: set[str]) -> str:
    return re.escape(next(iter(texts))) if len(texts) == 1 else r"[^\d/]*"


def _subjects(pattern: str, paths: Sequence[str]) -> list[str | None]:
    search = re.compile(pattern).search
    return [match["subject"] if (match := search(path)) else None for path in paths]


def _look_like_patients(subjects: Sequence[str | None], classes: Sequence[str]) -> bool:
    """Whether MIN_SHARE of the paths have a subject, and there are more subjects than classes and two slices per
    subject.
    """
    known = [subject for subject in subjects if subject is not None]
    return len(known) >= MIN_SHARE * len(subjects) and len(set(classes)) < len(set(known)) <= len(known) / 2


def _ids_restart(subjects: Sequence[str | None], classes: Sequence[str]) -> bool:
    """Whether more than half of the subjects are in several classes."""
    pairs = {pair for pair in zip(subjects, classes, strict=True) if pair[0] is not None}
    places = Counter(subject for subject, _ in pairs)
    return sum(count > 1 for count in places.values()) > len(places) / 2
