"""Networks trained on the training patients of a fold, by the loop of the training scripts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.transfer.cohort import Cohort
from data_setup.images.resize import Frame
from data_setup.loading.batches import Batches
from data_setup.loading.dataloaders import class_weights
from data_setup.loading.dataset import SliceDataset, decode
from data_setup.loading.transforms import make_transforms
from functions.engine import test_step, train_step
from functions.evaluation.patients import by_patient
from functions.runtime.device import resolve_precision, set_seeds
from functions.runtime.errors import UserError
from functions.training.optimisation import CrossEntropy, make_optimizer
from functions.training.schedules import make_schedule
from models.pretrained.sources import Pretrained, find_pretrained, load_transfer
from models.transfer import layer_lr_factors


@dataclass(frozen=True)
class Training:
    """What is trained and how: fixed in advance, no choice depends on results.

    The values are those of recipes/transfer_small_data.yaml with its advice for training all layers. The weights of the
    last epoch are scored: there is no selection, hence no validation set. `layer_decay` is 1 for random weights.
    """

    model: str
    weights: str                        # "random" or a key of the weight files
    image_size: tuple[int, int]
    trained: str = "all"
    epochs: int = 10
    batch_size: int = 64
    lr: float = 1e-4
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    label_smoothing: float = 0.1
    whole: bool = True                  # whole slices instead of the weights' own crop


class Slices:
    """All slices of the cohort, decoded once, on the device: framed as the weights' own images, or `whole`.

    `whole` slices are scaled to fit the image size, and no border is cropped.
    """

    def __init__(self, cohort: Cohort, pretrained: Pretrained, device: torch.device, whole: bool):
        frame = Frame(pretrained.config.image_size, **({} if whole else pretrained.frame))
        decoded = decode(cohort.table["path"].tolist(), frame, pretrained.config.in_channels, True)
        if decoded.errors:
            raise UserError(next(iter(decoded.errors.values())))
        images = decoded.images.to(device)
        self.dataset = SliceDataset(cohort.table, cohort.class_names, frame, images.shape[1], images)
        self.training, self.scoring = make_transforms(pretrained.mean, pretrained.std, True)
        self.device = device

    def batches(self, rows: np.ndarray, size: int, train: bool = False) -> Batches:
        """Batches of these slices: shuffled and augmented, or in order."""
        return Batches(self.dataset, size, train, self.training if train else self.scoring, self.device,
                       rows=rows.tolist())


def load_weights(training: Training, files: dict[str, Path]) -> Pretrained:
    """The weights of a training; those of the file that `files` names, or random ones."""
    source = "random" if training.weights == "random" else str(files[training.weights])
    fixed = {"mean": [0.5], "std": [0.5]} if source == "random" else {}
    return find_pretrained(training.model, source, "ours", training.image_size, 3, **fixed)


def train_fold(training: Training, pretrained: Pretrained, slices: Slices, cohort: Cohort, repeat: int,
               fold: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, class probabilities (patients, K)) of the test patients of a fold, by a network trained on the others."""
    device = slices.device
    tested = cohort.folds[repeat] == fold
    known, new = np.flatnonzero(~tested), np.flatnonzero(tested)
    set_seeds(1000 * repeat + fold)
    model = load_transfer(pretrained, len(cohort.class_names)).to(device)
    model.unfreeze(training.trained)
    batches = slices.batches(known, training.batch_size, train=True)
    optimizer = make_optimizer(model, "adamw", training.lr, training.weight_decay,
                               rates=layer_lr_factors(model, training.layer_decay))
    schedule = make_schedule("cosine", training.epochs, len(batches), 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    weights = class_weights(torch.from_numpy(cohort.labels[known]), len(cohort.class_names), 0.5).to(device)
    loss_fn = CrossEntropy(weights, reduction="none", label_smoothing=training.label_smoothing)
    precision = resolve_precision("auto", device)
    for _ in range(training.epochs):
        train_step(model, batches, loss_fn, optimizer, device, scheduler=scheduler, precision=precision, clip_norm=1.0)
    scores = test_step(model, slices.batches(new, 256), loss_fn, device, precision=precision)
    means, _, ids = by_patient(scores.probabilities.double().numpy(), cohort.labels[new], cohort.subjects[new])
    return ids, means
