"""One row per predicted image, and the means over each patient's images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from functions.evaluation.predictions import probability_columns
from functions.prediction.reference import Reference
from functions.runtime.errors import is_decoded, printable

COLUMNS = ("path", "subject", "prediction", "seen_in_training", "out_of_distribution", "novelty", "attention", "error")
PATIENT_COLUMNS = ("subject", "slices", "prediction", "seen_in_training", "out_of_distribution")
VOLUME_COLUMNS = ("volume", "session", "z_first_mm", "z_last_mm", "sha256", "axes", "affine", "voxel_mm",
                  "tilt_degrees", "window_low", "window_high", "bits", "pixel_mm", "notes")
YES, NO, UNKNOWN = "yes", "no", ""
COLOUR, FEATURES = "colour", "features"


@dataclass(frozen=True)
class ImageRow:
    """The prediction for one image; `error` is the reason why there is none.

    `seen` is "pixels" for a copy of a training slice, "patient" for another slice of a training patient, "no", or ""
    if the training slices are unknown. `outside` is "colour" for a colour image where training had none, "features" for
    features unlike those of training, "no", or "" without a reference. `novelty` is the distance of the features over
    the threshold. `attention` is the file with the overlay. `volume` is the volume of a slice, "" for an image.
    """

    path: str
    subject: str | None = None
    probabilities: np.ndarray | None = None
    seen: str = UNKNOWN
    outside: str = UNKNOWN
    novelty: float | None = None
    attention: str = ""
    error: str = ""
    volume: str = ""

    def entries(self, class_names: Sequence[str]) -> dict[str, str | float | None]:
        """The row's columns in their order; numbers have six significant digits."""
        found: dict[str, str | float | None] = {"path": self.path, "subject": self.subject or ""}
        found |= prediction_entries(self.probabilities, class_names)
        novelty = None if self.novelty is None else rounded(self.novelty)
        return found | {"seen_in_training": self.seen, "out_of_distribution": self.outside, "novelty": novelty,
                        "attention": self.attention, "error": self.error}


class Found(NamedTuple):
    """What was found for the readable images of a batch: probabilities (n, K), features (n, F), whether they are colour
    images, their entries `seen`, and the files of their overlays, if any are written.
    """

    probabilities: Tensor
    features: Tensor
    coloured: Sequence[bool]
    seen: Sequence[str]
    files: Sequence[str] | None


def image_rows(paths: Sequence[str], subjects: Sequence[str | None], errors: Mapping[int, str], found: Found | None,
               reference: Reference | None, volumes: Sequence[str] | None = None) -> Iterator[ImageRow]:
    """The rows of a batch in the order of `paths`; `errors` maps positions to reasons, all others are in `found`.

    `volumes` has the volume of each path, "" for an image.
    """
    names = [path if is_decoded(path) else printable(path) for path in paths]
    probabilities = found.probabilities.double().numpy() if found else np.zeros(0)
    ratios = reference.novelty.ratios(found.features.numpy()) if found and reference else None
    place = 0
    for row, path in enumerate(names):
        subject, volume = None if pd.isna(subjects[row]) else subjects[row], volumes[row] if volumes else ""
        if found is None or row in errors:
            yield ImageRow(path, subject, error=errors[row], volume=volume)
            continue
        p, ratio = probabilities[place], None if ratios is None else float(ratios[place])
        file = found.files[place] if found.files else ""
        outside = outside_training(ratio, found.coloured[place], reference.gray if reference else None)
        seen, place = found.seen[place], place + 1
        if np.isfinite(p).all():
            yield ImageRow(path, subject, p, seen, outside, ratio, file, volume=volume)
        else:
            yield ImageRow(path, subject, seen=seen, error="the network's output is not finite", volume=volume)


def outside_training(ratio: float | None, coloured: bool, gray: bool | None) -> str:
    """The entry out_of_distribution of an image, from its novelty and whether it and the training slices are coloured.

    `gray` is True if no training slice is a colour image, None if that is unknown.
    """
    if coloured and gray:
        return COLOUR
    if ratio is None:
        return UNKNOWN
    return FEATURES if ratio > 1 else NO


def prediction_entries(probabilities: np.ndarray | None, class_names: Sequence[str]) -> dict[str, str | float | None]:
    """The most probable class, then each class's probability, under column names that no other column has."""
    columns = class_columns(class_names)
    if probabilities is None:
        return {"prediction": "", **dict.fromkeys(columns)}
    values = [rounded(value) for value in probabilities]
    return {"prediction": class_names[int(np.argmax(probabilities))], **dict(zip(columns, values, strict=True))}


def class_columns(class_names: Sequence[str]) -> list[str]:
    """The names of the probability columns, which no other column has."""
    return probability_columns(class_names, {*COLUMNS, *PATIENT_COLUMNS, *VOLUME_COLUMNS})


def rounded(value: float) -> float:
    """Six significant digits: the last ones of float32 depend on the batch."""
    return float(f"{value:.6g}")


@dataclass
class _Sums:
    total: np.ndarray | float = 0.0
    slices: int = 0
    seen: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)


class GroupMeans:
    """Mean class probabilities over the images of each patient (`by` "subject") or each volume ("volume").

    Images of unknown patients, and images that are no slices of a volume, are left out.
    """

    def __init__(self, by: Literal["subject", "volume"]):
        self.by = by
        self.sums: dict[str, _Sums] = {}

    def add(self, row: ImageRow) -> None:
        """Adds an image's prediction to the mean of its group."""
        group = row.subject if self.by == "subject" else row.volume
        if not group or row.probabilities is None:
            return
        sums = self.sums.setdefault(group, _Sums())
        sums.total = sums.total + row.probabilities
        sums.slices += 1
        sums.seen.add(row.seen)
        sums.outside.add(row.outside)

    def entries(self, class_names: Sequence[str]) -> list[dict[str, str | float | int | None]]:
        """One row per group, sorted; "yes" if any image was seen in training or is out of distribution."""
        rows: list[dict[str, str | float | int | None]] = []
        for group, sums in sorted(self.sums.items()):
            entries = prediction_entries(np.asarray(sums.total) / sums.slices, class_names)
            rows.append({self.by: group, "slices": sums.slices, **entries, "seen_in_training": _any(sums.seen),
                         "out_of_distribution": _any(sums.outside)})
        return rows


def _any(answers: set[str]) -> str:
    if answers - {NO, UNKNOWN}:
        return YES
    return UNKNOWN if UNKNOWN in answers else NO
