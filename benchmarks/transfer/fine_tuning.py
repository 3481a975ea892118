"""Networks trained on the training patients of a fold, by the loop of the training scripts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data_setup.images.resize import Frame
from data_setup.loading.cohort import CohortImages
from data_setup.loading.dataloaders import class_weights
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.fold_training import patient_probabilities, train_network
from functions.runtime.device import set_seeds
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


def read_images(cohort: Cohort, pretrained: Pretrained, device: torch.device, whole: bool) -> CohortImages:
    """All slices, framed as the weights' own images, or `whole`: scaled to fit the image size, no border cropped."""
    frame = Frame(pretrained.config.image_size, **({} if whole else pretrained.frame))
    return CohortImages(cohort.table, cohort.class_names, frame, pretrained.config.in_channels, pretrained.mean,
                        pretrained.std, device)


def load_weights(training: Training, files: dict[str, Path]) -> Pretrained:
    """The weights of a training; those of the file that `files` names, or random ones."""
    source = "random" if training.weights == "random" else str(files[training.weights])
    fixed = {"mean": [0.5], "std": [0.5]} if source == "random" else {}
    return find_pretrained(training.model, source, "ours", training.image_size, 3, **fixed)


def train_fold(training: Training, pretrained: Pretrained, images: CohortImages, cohort: Cohort, repeat: int,
               fold: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, class probabilities (patients, K)) of the test patients of a fold, by a network trained on the others."""
    device, tested = images.device, cohort.tested(repeat, fold)
    known, new = np.flatnonzero(~tested), np.flatnonzero(tested)
    set_seeds(1000 * repeat + fold)
    model = load_transfer(pretrained, len(cohort.class_names)).to(device)
    model.unfreeze(training.trained)
    batches = images.batches(known, training.batch_size, train=True)
    weights = class_weights(torch.from_numpy(cohort.labels[known]), len(cohort.class_names), 0.5)
    train_network(model, batches, training.epochs * len(batches), weights, device, lr=training.lr,
                  weight_decay=training.weight_decay, label_smoothing=training.label_smoothing,
                  rates=layer_lr_factors(model, training.layer_decay))
    return patient_probabilities(model, images.batches(new, 256), cohort.labels[new], cohort.subjects[new], device)
