"""Uploaded slices of one patient → calibrated probabilities, flags, and the most similar training slices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from functions.evaluation.calibration import apply_temperature
from functions.prediction.features import FeatureExtractor
from functions.prediction.reference import Reference
from functions.prediction.rows import Found, ImageRow, image_rows
from functions.runtime.errors import UserError, printable

MAX_FILES = 64           # of one answer: the slices of one scan
SIMILAR = 5              # training slices that are shown for each slice


@dataclass(frozen=True)
class Similar:
    """A training slice near an uploaded one: its file, its class, and the Mahalanobis distance of their features."""

    path: str
    label: str
    distance: float


@dataclass(frozen=True)
class SliceAnswer:
    """The answer for one file: its name and either an error or the rest.

    `probabilities` (K,) are calibrated if the model's are; `row` has the flags; `image` (C, H, W) is the model's input.
    """

    name: str
    row: ImageRow
    probabilities: np.ndarray | None = None
    image: Tensor | None = None
    similar: tuple[Similar, ...] = ()

    @property
    def error(self) -> str:
        return self.row.error


@dataclass(frozen=True)
class Answer:
    """The answers for all files, in their order; `notes` are caveats about them as a whole."""

    slices: list[SliceAnswer]
    notes: list[str]

    @property
    def read(self) -> list[SliceAnswer]:
        """The slices that have a prediction."""
        return [found for found in self.slices if not found.error]

    @property
    def patient(self) -> np.ndarray | None:
        """The mean of the slices' probabilities (K,); None without any."""
        known = [found.probabilities for found in self.slices if found.probabilities is not None]
        return np.mean(known, axis=0) if known else None


@dataclass(frozen=True)
class Predictor:
    """What answers need: the model, and functions that read files and recognise training slices.

    `read(paths)` yields batches like `data_setup.loading.image_stream.ImageBatch`; `subjects_of(paths)` returns one
    patient id or None per path; `mark(paths, subjects, batch)` returns (the marks of `ImageRow.seen` of the batch's
    readable images, notes). `transform` maps uint8 (n, C, H, W) to the model's input. Without a `reference` nothing is
    calibrated, flagged as out of distribution, or compared.
    """

    model: nn.Module
    class_names: Sequence[str]
    extract: FeatureExtractor
    transform: Callable[[Tensor], Tensor]
    read: Callable[[list[str]], Iterator[Any]]
    subjects_of: Callable[[list[str]], list[str | None]]
    mark: Callable[[list[str], list[str | None], Any], tuple[list[str], list[str]]]
    reference: Reference | None

    @property
    def temperature(self) -> float | None:
        """T of the calibration; None without validation slices."""
        return self.reference.temperature if self.reference else None

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """softmax(ln p / T) of probabilities (n, K); unchanged if the model is not calibrated."""
        return probabilities if self.temperature is None else apply_temperature(probabilities, self.temperature)

    def answer(self, paths: Sequence[str]) -> Answer:
        """The answer for image files, whatever they contain: a file that cannot be read has its reason.

        Raises UserError for no file and for more than MAX_FILES.
        """
        files = list(dict.fromkeys(paths))
        if not files:
            raise UserError("no file was uploaded")
        if len(files) > MAX_FILES:
            raise UserError(f"{len(files)} files at once: at most {MAX_FILES} slices, of one patient, are predicted")
        subjects = self.subjects_of(files)
        slices: list[SliceAnswer] = []
        notes = _mixed_patients(subjects)
        start = 0
        for batch in self.read(files):
            own, start = subjects[start:start + len(batch.paths)], start + len(batch.paths)
            found, late = self._batch(batch, own)
            slices += found
            notes += late
        if repeated := len(paths) - len(files):
            notes.append(f"{repeated} files were uploaded twice and count once")
        return Answer(slices, notes)

    def _batch(self, batch: Any, subjects: list[str | None]) -> tuple[list[SliceAnswer], list[str]]:
        """The answers for one batch, and notes."""
        names = [Path(path).name for path in batch.paths]
        if not batch.rows:
            rows = image_rows(names, subjects, batch.errors, None, self.reference)
            return [SliceAnswer(printable(row.path), row) for row in rows], []
        images = self.transform(batch.pixels.to(self.extract.device))
        probabilities, features = self.extract(images)
        readable, patients = ([values[row] for row in batch.rows] for values in (batch.paths, subjects))
        marks, notes = self.mark(readable, patients, batch)
        rows = image_rows(names, subjects, batch.errors, Found(probabilities, features, batch.coloured, marks, None),
                          self.reference)
        similar = self._similar(features.numpy())
        places = {number: place for place, number in enumerate(batch.rows)}
        slices = []
        for number, row in enumerate(rows):
            if row.probabilities is None:                    # not read, or the network's output is not finite
                slices.append(SliceAnswer(printable(row.path), row))
            else:
                place, shown = places[number], self.calibrated(row.probabilities[None])[0]
                slices.append(SliceAnswer(printable(row.path), row, shown, images[place].cpu(), similar[place]))
        return slices, notes

    def _similar(self, features: np.ndarray) -> list[tuple[Similar, ...]]:
        """The SIMILAR nearest training slices of each image (n, F)."""
        if self.reference is None:
            return [()] * len(features)
        reference, found = self.reference, []
        for image, row in zip(features, reference.nearest(features, SIMILAR), strict=True):
            distances = reference.distances(image[None])[0]
            found.append(tuple(Similar(reference.paths[k], reference.labels[k], float(distances[k])) for k in row))
        return found


def _mixed_patients(subjects: Sequence[str | None]) -> list[str]:
    known = sorted({subject for subject in subjects if subject})
    if len(known) < 2:
        return []
    return [f"the file names name {len(known)} patients ({', '.join(known[:3])}{', …' * (len(known) > 3)}): the mean "
            "over the slices is of no single patient"]
