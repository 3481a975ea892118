"""Class probabilities predicted by a trained model, and the table of them (predictions.csv)."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from functions.evaluation.patients import by_patient
from functions.runtime.device import autocast
from functions.runtime.errors import UserError

OTHER_COLUMNS = {"path", "subject", "label", "stamps"}      # of predictions.csv


@dataclass(frozen=True)
class Predictions:
    """Slices: paths, patient ids (None: unknown), labels (n,) as class indices, class probabilities (n, K)."""

    paths: Sequence[str]
    given_subjects: Sequence[str | None]
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: list[str]

    @property
    def patients_known(self) -> bool:
        """Whether all patients are known."""
        return not pd.isna(pd.Series(list(self.given_subjects), dtype=object)).any()

    @cached_property
    def subjects(self) -> np.ndarray:
        """The patient id of each slice (n,); a slice of an unknown patient gets its path as id."""
        return patient_ids(self.given_subjects, self.paths)

    def rows(self, unit: str, probabilities: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(probabilities, labels, ids), one row per slice or per patient; also of other `probabilities` (n, K)."""
        p = self.probabilities if probabilities is None else probabilities
        slices = p, self.labels, self.subjects
        return by_patient(*slices) if unit == "patient" else slices

    def table(self) -> pd.DataFrame:
        """One row per slice: path, subject, label (class name), and one probability column per class."""
        table = pd.DataFrame({"path": list(self.paths), "subject": list(self.given_subjects),
                              "label": [self.class_names[k] for k in self.labels]})
        columns = probability_columns(self.class_names)
        return table.join(pd.DataFrame(self.probabilities.astype(float), columns=columns, index=table.index))


def patient_ids(subjects: Sequence[str | None], paths: Sequence[str]) -> np.ndarray:
    """The patient id of each image; a slice of an unknown patient gets its path as id."""
    return np.array([path if pd.isna(subject) else subject for subject, path in zip(subjects, paths, strict=True)])


def probability_columns(class_names: Sequence[str], others: Set[str] = frozenset(OTHER_COLUMNS)) -> list[str]:
    """The names of the probability columns: the class names, or e.g. "class path" if the name is one of `others`."""
    columns: list[str] = []
    for name in class_names:
        column = name
        while column in others or (column != name and column in class_names) or column in columns:
            column = f"class {column}"
        columns.append(column)
    return columns


@torch.inference_mode()
def predict_batches(model: nn.Module, batches: Iterable[Tensor], device: torch.device, precision: str) -> np.ndarray:
    """Class probabilities (n, K) of all images in `batches` (B, C, H, W), computed at `precision`.

    Raises UserError, without the name of the model file, if they are not finite.
    """
    model.eval()
    rows = []
    for images in batches:
        with autocast(precision, device):
            logits = model(images)
        rows.append(logits.float().softmax(dim=1))
    if not torch.stack([part.isfinite().all() for part in rows]).all():
        raise UserError(f"non-finite probabilities at precision {precision}: they cannot be scored; train again, or "
                        "use another checkpoint")
    return torch.cat(rows).double().cpu().numpy()


@torch.inference_mode()
def predict_image(model: nn.Module, image: Tensor) -> Tensor:
    """Class probabilities (K,) of one preprocessed image (C, H, W)."""
    device = next(model.parameters()).device
    return model.eval()(image[None].to(device)).softmax(dim=1)[0].cpu()
