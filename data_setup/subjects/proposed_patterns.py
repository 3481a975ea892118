"""A --subject_pattern for file names in no known naming: proposed from the names and checked against the pixels."""

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

MOST = 0.9          # of the files must have names of one form
CHECKED = 1000      # slices compared with each other: a matrix of similarities of 4 MB
SIDE = 32           # pixels of the compared pictures' sides
CONFIRMED = 0.5     # agreement beyond chance (Cohen's kappa's form) that confirms a pattern


class Proposal(NamedTuple):
    """A regular expression with a group `subject`, and the subject that it gives to each path."""

    pattern: str
    subjects: list[str | None]


def remedy(paths: Sequence[str], classes: Sequence[str], images: Tensor | None = None, auto: bool = False) -> str:
    """What to do about unknown patients, in words: a table, a pattern, and `auto` where the script has it.

    `images` (n, C, H, W) of the first slices confirm or rule out the patterns that the names suggest.
    """
    advice = "give --subjects FILE.csv or --subject_pattern REGEX" + " or --subjects auto (from the pixels)" * auto
    proposals, why = propose_patterns(paths, classes), "if that is what the names mean"
    if images is not None and proposals:
        agreements = [agreement(images, one.subjects[:len(images)]) for one in proposals]
        best = max(agreements)
        proposals = [proposals[agreements.index(best)]] if best >= CONFIRMED else []
        why = f"the most similar other slice agrees for {best:.0%} beyond chance"
    if not proposals:
        return advice
    pattern, subjects = proposals[0]
    first = next(row for row, subject in enumerate(subjects) if subject is not None)
    return (f"{advice}; --subject_pattern {shlex.quote(pattern)} finds {len(set(subjects) - {None})} patients, "
            f"{subjects[first]} in {PurePath(paths[first]).name} ({why})")


def propose_patterns(paths: Sequence[str], classes: Sequence[str]) -> list[Proposal]:
    """Patterns that divide the paths into subjects of several slices: a folder a patient, then a number in the name.

    Where most subjects would stand in several classes, numbers start anew in each: then the id has the class, too.
    """
    posix = [PurePath(path).as_posix() for path in paths]
    names = "|".join(re.escape(name) for name in sorted(set(classes)))
    proposals = []
    for before, inside, after in (*_folder_parts(names), *_name_parts([PurePath(path).name for path in posix])):
        pattern = f"{before}(?P<subject>{inside}){after}"
        subjects = _subjects(pattern, posix)
        if _are_patients(subjects, classes) and _start_anew(subjects, classes):
            pattern = f"/(?P<subject>(?:{names}){before}{inside}){after}"
            subjects = _subjects(pattern, posix)
        if _are_patients(subjects, classes):
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
    """(before, subject, after): the folder that holds the image, the folder below the class folder."""
    return [(rf"/(?:{classes})/", "[^/]+", "/"), ("/", "[^/]+", "/[^/]+$")]


def _name_parts(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(before, subject, after) for each number in the file names that another number follows or precedes.

    Letters between numbers stand as they are where they are the same everywhere. Names of another form are left out.
    """
    split = [re.split(r"(\d+)", PurePath(name).stem) for name in names]      # letters, number, letters, number, letters
    length, count = Counter(map(len, split)).most_common(1)[0]
    if length < 5 or count < MOST * len(names):
        return []
    columns = list(zip(*(parts for parts in split if len(parts) == length), strict=True))
    pieces = [r"\d+" if place % 2 else _letters(set(column)) for place, column in enumerate(columns)]
    found = []
    for place in range(1, length, 2):
        start = place if len(set(columns[place - 1])) == 1 else place - 1       # letters that differ belong to the id
        found.append(("/" + "".join(pieces[:start]), "".join(pieces[start:place + 1]),
                      "".join(pieces[place + 1:]) + r"\.[^./]+$"))
    return found


def _letters(texts: set[str]) -> str:
    return re.escape(next(iter(texts))) if len(texts) == 1 else r"[^\d/]*"


def _subjects(pattern: str, paths: Sequence[str]) -> list[str | None]:
    search = re.compile(pattern).search
    return [match["subject"] if (match := search(path)) else None for path in paths]


def _are_patients(subjects: Sequence[str | None], classes: Sequence[str]) -> bool:
    """Whether MOST paths have a subject, and there are more subjects than classes, of two slices or more on average."""
    known = [subject for subject in subjects if subject is not None]
    return len(known) >= MOST * len(subjects) and len(set(classes)) < len(set(known)) <= len(known) / 2


def _start_anew(subjects: Sequence[str | None], classes: Sequence[str]) -> bool:
    """Whether more than half of the subjects stand in several classes."""
    pairs = {pair for pair in zip(subjects, classes, strict=True) if pair[0] is not None}
    places = Counter(subject for subject, _ in pairs)
    return sum(count > 1 for count in places.values()) > len(places) / 2
