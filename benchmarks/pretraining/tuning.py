"""Networks that generated brains have pretrained, all layers trained further on the slices of real patients."""

import hashlib
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor, nn

from benchmarks.pretraining.acquisition import acquired
from benchmarks.pretraining.network import load_network, outputs, untrained
from benchmarks.pretraining.readout import standardised
from benchmarks.transfer.command import slices_hash
from data_setup.loading.dataloaders import class_weights
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.fold_training import train_network
from functions.evaluation.patients import by_patient
from functions.runtime.atomic_files import write_text
from functions.runtime.csv_files import read_csv
from functions.runtime.device import set_seeds
from models.hybrid import HybridViT
from models.pretrained.places.folders import weights_hash

# fixed before the first result; a network without training has the learning rate of recipes/mri_cpu.yaml
STEPS, BATCH, LR, LR_UNTRAINED, WEIGHT_DECAY = 150, 32, 3e-4, 1e-3, 0.05


class Acquired:
    """Batches of slices (n, 1, H, W) uint8 in random order, each with a random acquisition of its own."""

    def __init__(self, images: Tensor, labels: Tensor, seed: int):
        self.images, self.labels, self.generator = images, labels, Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.images) / BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self.images), generator=self.generator).split(BATCH):
            yield acquired(self.images[rows], self.generator, vary=True, scale=1.0), self.labels[rows]


def all_layers(name: str, folder: Path, images: Tensor, cohort: Cohort) -> Callable:
    """fit(known slices, tested slices, seed) → P(diseased) of the test patients, by the network `name` of `folder`.

    "untrained" is the network as it is initialised. A new head begins at zero. Every finished fit is on disk:
    FOLDER/tuned/NAME-<training patients>-<hash of weights, slices, patients and seed>.csv. UserError if there is no
    such network.
    """
    weights = folder / f"{name}.safetensors"
    begun = None if name == "untrained" else load_network(weights)
    inputs = slices_hash(cohort) + ("" if begun is None else weights_hash(weights))

    def fit(known: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        used = hashlib.sha256(inputs.encode() + known.tobytes() + tested.tobytes() + str(seed).encode())
        count = len(set(cohort.subjects[known]))
        file = folder / "tuned" / f"{name}-{count}-{used.hexdigest()[:12]}.csv"
        if not file.exists():
            model = untrained(seed) if begun is None else deepcopy(begun)
            ids, p = _trained(model, LR_UNTRAINED if begun is None else LR, images, cohort, known, tested, seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, pd.DataFrame({"subject": ids, "p": p}).to_csv(index=False, float_format="%.6g"))
        return read_csv(file, ("subject",))["p"].to_numpy()

    return fit


def _trained(model: HybridViT, lr: float, images: Tensor, cohort: Cohort, known: np.ndarray, tested: np.ndarray,
             seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, P(diseased)) of the test patients, in the order of ids."""
    set_seeds(seed)
    model.classifier = nn.Linear(model.classifier.in_features, len(cohort.class_names))
    nn.init.zeros_(model.classifier.weight)
    nn.init.zeros_(model.classifier.bias)
    labels = torch.from_numpy(cohort.labels[known])
    weights = class_weights(labels, len(cohort.class_names), 0.5)
    train_network(model, Acquired(images[torch.from_numpy(known)], labels, seed), STEPS, weights, torch.device("cpu"),
                  lr=lr, weight_decay=WEIGHT_DECAY)
    logits = torch.from_numpy(outputs(model.eval(), standardised(images[torch.from_numpy(tested)])))
    p, _, ids = by_patient(logits.softmax(dim=1).numpy(), cohort.labels[tested], cohort.subjects[tested])
    return ids, 1 - p[:, cohort.healthy]
