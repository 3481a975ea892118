"""reference.pt of a run: features of its training and validation slices, to which new images are compared.

It also has the validation slices' probabilities, to which a temperature is fitted (calibration.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from functions.checkpointing.checkpoint import read_plain, save_checkpoint
from functions.evaluation.calibration import fit_temperature
from functions.prediction.novelty import Novelty, fit_novelty
from functions.runtime.errors import UserError, not_a_file

NAME = "reference.pt"
MAX_SLICES = 5_000           # of training; more are thinned evenly


@dataclass(frozen=True)
class Reference:
    """Features of training slices (n, F) and validation slices (m, F) float32; `paths` and `labels` of the former.

    `val_probabilities` (m, K) float32 and `val_labels`, class indices, are of the latter. `gray` is True if no training
    slice is a colour image. `run_id` and `epoch` are those of the checkpoint.
    """

    train: Tensor
    val: Tensor
    paths: list[str]
    labels: list[str]
    val_probabilities: Tensor
    val_labels: list[int]
    gray: bool
    run_id: str
    epoch: int

    @cached_property
    def novelty(self) -> Novelty:
        """The out-of-distribution detector that is fitted to these features."""
        return fit_novelty(self.train.numpy(), self.val.numpy())

    @cached_property
    def temperature(self) -> float | None:
        """T of `apply_temperature`, fitted to the validation slices; None if there are none."""
        if not self.val_labels:
            return None
        return fit_temperature(self.val_probabilities.double().numpy(), np.array(self.val_labels))

    @cached_property
    def typical_distance(self) -> float | None:
        """The median over validation slices of the distance to their nearest training slice; None if there are none."""
        return float(np.median(self.distances(self.val.numpy()).min(axis=1))) if len(self.val) else None

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Mahalanobis distances of images (n, F) to all training slices: d(f, g) = √((f - g)ᵀ Σ⁻¹ (f - g))."""
        precision, train, new = self.novelty.precision, self.train.numpy().astype(float), features.astype(float)
        squares = [np.einsum("ij,jk,ik->i", rows, precision, rows) for rows in (new, train)]
        return np.sqrt(np.maximum(squares[0][:, None] + squares[1] - 2 * new @ precision @ train.T, 0))

    def nearest(self, features: np.ndarray, count: int) -> list[list[int]]:
        """Rows of the `count` training slices with the smallest Mahalanobis distance to each image (n, F)."""
        return np.argsort(self.distances(features), axis=1, kind="stable")[:, :count].tolist()


def thinned(count: int) -> list[int]:
    """Rows of at most MAX_SLICES of `count` slices, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_SLICES)).round().astype(int)).tolist()


def reference_maker(known: pd.DataFrame, stream: Callable[[list[str]], Iterable[Any]],
                    extract: Callable[[Tensor], tuple[Tensor, Tensor]], checkpoint: dict,
                    ) -> Callable[[], Reference] | None:
    """The `make` of `find_reference`, for the slices `known`: rows (path, class, split); None without any.

    `stream(paths)` yields batches with `pixels` (n, C, H, W) uint8 and `coloured`; `extract(pixels)` returns
    probabilities (n, K) and features (n, F). At most MAX_SLICES training slices are read.
    """
    if known.empty:
        return None
    train, val = (known[known["split"] == part] for part in ("train", "val"))
    train = train.iloc[thinned(len(train))]
    names = [normalize("NFC", name) for name in checkpoint["class_names"]]       # older ones may be in NFD

    def make() -> Reference:
        coloured: list[bool] = []

        def outputs(paths: list[str]) -> list[Tensor]:
            found = []
            for batch in stream(paths):
                coloured.extend(batch.coloured)
                found.append(extract(batch.pixels))
            return [torch.cat(part) for part in zip(*found, strict=True)] or [torch.zeros(0), torch.zeros(0)]

        (_, of_train), (probabilities, of_val) = outputs(train["path"].tolist()), outputs(val["path"].tolist())
        return Reference(of_train, of_val, train["path"].tolist(), train["class"].tolist(), probabilities,
                         [names.index(normalize("NFC", name)) for name in val["class"]], not any(coloured),
                         checkpoint.get("run_id", ""), checkpoint["epoch"])

    return make


def find_reference(folder: Path, checkpoint: dict,
                   make: Callable[[], Reference] | None) -> tuple[Reference | None, list[str]]:
    """(the reference beside a checkpoint, notes); where there is none, it is made and written.

    `make()` returns a new one; None if the training slices are not available. Without a reference nothing is flagged as
    out of distribution.
    """
    if reference := load_reference(folder, checkpoint):
        return reference, []
    if make is None:
        return None, [f"out-of-distribution images are not flagged: {folder} has no {NAME}, and the training slices "
                      "are not available to make it"]
    reference = make()
    try:
        save_checkpoint(folder / NAME, {name: getattr(reference, name) for name in Reference.__dataclass_fields__})
    except OSError as error:
        return reference, [f"{folder / NAME} could not be written ({error.strerror}): it is made again each time"]
    return reference, [f"{folder / NAME} written: features of {len(reference.train):,} training slices"]


def load_reference(folder: Path, checkpoint: dict) -> Reference | None:
    """The reference beside a checkpoint; None if there is none, or if it is of another checkpoint.

    Raises UserError, naming the file, if it is damaged.
    """
    path = folder / NAME
    if not_a_file(path) == "no such file":
        return None
    try:
        reference = _checked(read_plain(path), len(checkpoint["class_names"]))
    except UserError as error:
        raise UserError(f"{path} is damaged ({error}): remove it, and it is written again") from None
    same = (reference.run_id, reference.epoch) == (checkpoint.get("run_id", ""), checkpoint["epoch"])
    return reference if same else None


def _checked(content: object, classes: int) -> Reference:
    names = list(Reference.__dataclass_fields__)
    if not isinstance(content, dict) or set(content) != set(names):
        raise UserError(f"not a dict of {', '.join(names)}")
    for name in ("train", "val", "val_probabilities"):
        value = content[name]
        if type(value) is not Tensor or value.dtype != torch.float32 or not value.isfinite().all():
            raise UserError(f"{name} is not a tensor of finite float32 numbers")
    train, val = content["train"], content["val"]
    if train.ndim != 2 or len(train) < 2 or (len(val) and (val.ndim != 2 or val.shape[1] != train.shape[1])):
        raise UserError("train and val are not rows of equally many features")
    for name in ("paths", "labels"):
        value = content[name]
        if type(value) is not list or len(value) != len(train) or any(type(text) is not str for text in value):
            raise UserError(f"{name} are not {len(train)} texts")
    _check_validation(content["val_probabilities"], content["val_labels"], (len(val), classes))
    for name, kind in (("gray", bool), ("run_id", str), ("epoch", int)):
        if type(content[name]) is not kind:
            raise UserError(f"{name} is no {kind.__name__}")
    return Reference(**content)


def _check_validation(probabilities: Tensor, labels: object, shape: tuple[int, int]) -> None:
    count, classes = shape
    if count and (probabilities.shape != shape or bool((probabilities < 0).any())
                  or not torch.allclose(probabilities.sum(dim=1), torch.ones(count), atol=1e-3)):
        raise UserError(f"val_probabilities are not {count} rows of {classes} probabilities")
    if type(labels) is not list or len(labels) != count or any(
            type(label) is not int or not 0 <= label < classes for label in labels):
        raise UserError(f"val_labels are not {count} of {classes} classes")
