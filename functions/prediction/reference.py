"""reference.pt of a run: features of its training and validation slices, to which new images are compared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from functions.checkpointing.checkpoint import read_plain, save_checkpoint
from functions.prediction.novelty import Novelty, fit_novelty
from functions.runtime.errors import UserError, not_a_file

NAME = "reference.pt"
MAX_SLICES = 5_000           # of training; more are thinned evenly


@dataclass(frozen=True)
class Reference:
    """Features of training slices (n, F) and validation slices (m, F) float32; `paths` and `labels` of the former.

    `gray` is True if no training slice is a colour image. `run_id` and `epoch` are those of the checkpoint.
    """

    train: Tensor
    val: Tensor
    paths: list[str]
    labels: list[str]
    gray: bool
    run_id: str
    epoch: int

    @classmethod
    def from_features(cls, train: Iterable[Tensor], val: Iterable[Tensor], paths: list[str], labels: list[str],
                      coloured: list[bool], checkpoint: dict) -> "Reference":
        """From batches of features; `coloured` is filled while they are read."""
        of_train, of_val = (torch.cat(part) if part else torch.zeros(0) for part in (list(train), list(val)))
        run_id, epoch = checkpoint.get("run_id", ""), checkpoint["epoch"]
        return cls(of_train, of_val, paths, labels, not any(coloured), run_id, epoch)

    @cached_property
    def novelty(self) -> Novelty:
        """The out-of-distribution detector that is fitted to these features."""
        return fit_novelty(self.train.numpy(), self.val.numpy())

    def nearest(self, features: np.ndarray, count: int) -> list[list[int]]:
        """Rows of the `count` training slices with the smallest Mahalanobis distance to each image (n, F)."""
        precision = self.novelty.precision
        train = self.train.numpy().astype(float)
        own = np.einsum("ij,jk,ik->i", train, precision, train)
        distance = own[None] - 2 * features.astype(float) @ precision @ train.T      # + a constant of the image
        return np.argsort(distance, axis=1, kind="stable")[:, :count].tolist()


def thinned(count: int) -> list[int]:
    """Rows of at most MAX_SLICES of `count` slices, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MAX_SLICES)).round().astype(int)).tolist()


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
        reference = _checked(read_plain(path))
    except UserError as error:
        raise UserError(f"{path} is damaged ({error}): remove it, and it is written again") from None
    same = (reference.run_id, reference.epoch) == (checkpoint.get("run_id", ""), checkpoint["epoch"])
    return reference if same else None


def _checked(content: object) -> Reference:
    names = list(Reference.__dataclass_fields__)
    if not isinstance(content, dict) or set(content) != set(names):
        raise UserError(f"not a dict of {', '.join(names)}")
    for name in ("train", "val"):
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
    for name, kind in (("gray", bool), ("run_id", str), ("epoch", int)):
        if type(content[name]) is not kind:
            raise UserError(f"{name} is no {kind.__name__}")
    return Reference(**content)
