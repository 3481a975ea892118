"""From a network's outputs on a patient's slices to the probability of dementia, learnt from generated people only."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.pretraining.acquisition import acquired, standardise
from benchmarks.pretraining.brains import Brains
from benchmarks.pretraining.network import CONFIG, outputs
from data_setup.images.resize import Frame
from data_setup.loading.dataset import decode
from data_setup.phantom.stripped import QUANTITIES
from functions.runtime.atomic_files import write_text
from functions.runtime.errors import UserError
from models.hybrid import HybridViT

# what a slice without skull shows of its patient; the level is not a quantity of the patient, and the brain's volume
# cannot be seen where the head is scaled to an atlas
VISIBLE = [QUANTITIES.index(name) for name in ("root_vbr", "csf", "hippocampus", "ventricle_share", "sulcus_share")]


def people_outputs(model: HybridViT, brains: Brains) -> np.ndarray:
    """The mean outputs (people, 8) of generated people, each slice with a random acquisition."""
    found = outputs(model, acquired(brains.slices, torch.Generator().manual_seed(0), vary=True))
    return found.reshape(*brains.images.shape[:2], -1).mean(axis=1)


def all_outputs(generated: np.ndarray, diseased: np.ndarray, real: np.ndarray) -> np.ndarray:
    """P(diseased) of real people by logistic regression (C = 1) on the outputs (people, 8) of generated ones."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(generated, diseased)
    return model.predict_proba(real)[:, 1]


def visible_outputs(generated: np.ndarray, diseased: np.ndarray, real: np.ndarray) -> np.ndarray:
    """As `all_outputs`, on the VISIBLE ones, standardised among the generated and among the real people without labels.
    """
    known, new = (StandardScaler().fit_transform(values[:, VISIBLE]) for values in (generated, real))
    return LogisticRegression().fit(known, diseased).predict_proba(new)[:, 1]


def read_slices(paths: list[str]) -> Tensor:
    """Real slices uint8 (n, 1, H, W), resized as by recipes/mri_cpu.yaml; UserError for a file that is not read."""
    decoded = decode(paths, Frame(CONFIG.image_size), 1, True)
    if decoded.errors:
        raise UserError(next(iter(decoded.errors.values())))
    return decoded.images


def standardised(images: Tensor) -> Tensor:
    """Real slices uint8 (n, 1, H, W) → a network's input."""
    return torch.cat([standardise(part.float() / 255) for part in images.split(512)])


def real_slices(paths: list[str]) -> Tensor:
    """`read_slices`, `standardised`."""
    return standardised(read_slices(paths))


def write_outputs(file: Path, ids: np.ndarray, means: np.ndarray, probabilities: dict[str, np.ndarray]) -> None:
    """A table of patients: the mean of each output over their slices, and probabilities of dementia."""
    table = pd.DataFrame(means, columns=list(QUANTITIES)).assign(subject=ids, **probabilities)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, table.to_csv(index=False, float_format="%.6g"))
