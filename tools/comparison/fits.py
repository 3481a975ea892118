"""Every method as a function fit(known, tested, seed) → (class probabilities of the test patients, images trained on).

`known` and `tested` (n,) bool are the slices of the training and the test patients; patients are in the order of
`Cohort.patients`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from data_setup.audit.baseline_features import four_number_probabilities, patient_table
from data_setup.images.read import read_image
from data_setup.images.resize import Frame
from data_setup.loading.batches import Batches
from data_setup.loading.cohort import CohortImages
from data_setup.loading.dataloaders import class_weights
from data_setup.loading.feature_batches import FeatureDataset, OneView
from data_setup.similarity.nearest_slice import nearest_known
from data_setup.similarity.neighbours import find_neighbours
from data_setup.splits.folds import patient_folds
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.features import features_on_disk
from functions.cross_validation.fold_training import patient_probabilities, train_network
from functions.cross_validation.ridge import ridge_fitted_to
from functions.evaluation.patients import by_patient
from functions.learning_curves.baselines import boosting, commonest_class, of_patients
from functions.learning_curves.methods import METHODS, Method
from functions.runtime.device import set_seeds
from functions.runtime.progress import Progress
from models.config import VARIANTS
from models.pretrained.sources import Pretrained, find_pretrained, load_transfer
from models.small import SMALL, small_network
from models.transfer import TransferModel, layer_lr_factors
from tools.comparison.setup import Setup, age_and_sex

Fitted = tuple[np.ndarray, int]
Fit = Callable[[np.ndarray, np.ndarray, int], Fitted]
SCORED = 256       # images per batch in testing
CHUNK = 32         # images per batch of a frozen network
LARGEST = 224      # pixels of a pretrained network's images


def make_fit(name: str, setup: Setup) -> Fit:
    """The function of a method; what it needs of all slices is read or computed here, once. UserError if it cannot be.
    """
    cohort, method = setup.cohort, METHODS[name]
    paths, classes = cohort.table["path"].tolist(), len(cohort.class_names)
    if name == "constant":
        found = partial(_commonest, cohort)
    elif name == "age_sex":
        ages = cohort.patients(age_and_sex(setup))[0]
        found = partial(_of_patients, partial(four_number_probabilities, num_classes=classes), cohort, ages)
    elif name in ("four_numbers", "boosting"):
        learn = four_number_probabilities if name == "four_numbers" else boosting
        found = partial(_of_patients, partial(learn, num_classes=classes), cohort,
                        patient_table(paths, cohort.keys)[0])
    elif name == "nearest":
        found = partial(_nearest, cohort, find_neighbours([read_image(path, 1)[:, :, 0] for path in paths]))
    elif name == "vit_probe":
        found = partial(_ridge, cohort, frozen_features(setup).double().numpy())
    elif name == "vit_head":
        found = partial(_head, setup, method, frozen_features(setup))
    else:
        found = partial(_network, setup, name, method, *_images_and_weights(name, setup))
    return partial(_unless_one_class, cohort, found)


def frozen_features(setup: Setup) -> torch.Tensor:
    """LN(z_L⁰), the class token of the pretrained ViT, of every whole slice (n, D), at about the slices' own size."""
    cohort = setup.cohort
    pretrained = find_weights(setup, "vit", read_image(cohort.table["path"][0], 1).shape[:2])

    def compute() -> dict[str, torch.Tensor]:
        model = load_transfer(pretrained, 1).to(setup.device).eval()
        progress, rows = Progress("features", len(cohort.table)), []
        for images, _ in _images(cohort, pretrained, setup.device).batches(np.arange(len(cohort.table)), CHUNK):
            rows.append(model.features(images).cpu())
            progress.update(len(images))
        progress.close()
        return {"class": torch.cat(rows)}

    depends_on = {"slices": cohort.digest, "weights": pretrained.sha256 or "",
                  "image_size": str(pretrained.config.image_size)}
    file = setup.features / f"{pretrained.config.model}.safetensors"
    return features_on_disk(file, len(cohort.table), depends_on, compute)["class"]


def find_weights(setup: Setup, needs: str, size: tuple[int, ...]) -> Pretrained:
    """The file of weights of a kind, for images of about `size`: at most 224 pixels a side, multiples of the patch.

    UserError if the file cannot be used.
    """
    model, file = setup.weights[needs]
    patch = VARIANTS[model].patch_size if model in VARIANTS else 8
    scale = min(1.0, LARGEST / max(size))
    height, width = (max(1, round(side * scale / patch)) * patch for side in size)
    return find_pretrained(model, file, "ours" if needs == "vit" else "torchvision", (height, width), 3)


def _unless_one_class(cohort: Cohort, fit: Fit, known: np.ndarray, tested: np.ndarray, seed: int) -> Fitted:
    """From training patients of one class nothing can be learnt: it is predicted."""
    if len(np.unique(cohort.labels[known])) < 2:
        return _commonest(cohort, known, tested, seed)
    return fit(known, tested, seed)


def _commonest(cohort: Cohort, known: np.ndarray, tested: np.ndarray, seed: int) -> Fitted:
    return _of_patients(lambda x, y, known: commonest_class(y, known, len(cohort.class_names)), cohort,
                        np.zeros((len(cohort.patients(known[:, None])[1]), 0)), known, tested, seed)


def _of_patients(learn: Callable, cohort: Cohort, x: np.ndarray, known: np.ndarray, tested: np.ndarray,
                 seed: int) -> Fitted:
    return of_patients(learn, cohort, x, known, tested), 0


def _nearest(cohort: Cohort, neighbours, known: np.ndarray, tested: np.ndarray, seed: int) -> Fitted:
    """The share of a patient's slices whose nearest training slice has each class."""
    rows, candidates = np.flatnonzero(tested), np.flatnonzero(known)
    nearest = candidates[nearest_known(neighbours, rows, candidates, None)]
    shares = np.eye(len(cohort.class_names))[cohort.labels[nearest]]
    return by_patient(shares, cohort.labels[tested], cohort.subjects[tested])[0], 0


def _ridge(cohort: Cohort, x: np.ndarray, known: np.ndarray, tested: np.ndarray, seed: int) -> Fitted:
    return ridge_fitted_to(known, x, cohort, patient_folds, tested, seed), 0


def _head(setup: Setup, method: Method, features: torch.Tensor, known: np.ndarray, tested: np.ndarray,
          seed: int) -> Fitted:
    """A linear head that begins at zero, trained on features."""
    cohort, device = setup.cohort, setup.device
    labels = torch.from_numpy(cohort.labels)
    slices = FeatureDataset(_Labels(cohort.table["path"].tolist(), cohort.subjects, labels), features[:, None])

    def batches(rows: np.ndarray, size: int, train: bool = False) -> Batches:
        return Batches(slices, size, train, OneView(), device, rows=rows.tolist())

    set_seeds(seed)
    head = nn.Linear(features.shape[1], len(cohort.class_names)).to(device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return _trained(head, batches, setup, method, known, tested)


class _Labels(NamedTuple):
    """What a FeatureDataset takes from the slices."""

    paths: list[str]
    subjects: np.ndarray
    labels: torch.Tensor


def _images(cohort: Cohort, pretrained: Pretrained, device: torch.device) -> CohortImages:
    return CohortImages(cohort.table, cohort.class_names, Frame(pretrained.config.image_size), 3, pretrained.mean,
                        pretrained.std, device)


def _images_and_weights(name: str, setup: Setup) -> tuple[CohortImages, Pretrained | None]:
    """The slices for a network, whole; and its weights, None for one from scratch."""
    if name in SMALL:
        return CohortImages(setup.cohort.table, setup.cohort.class_names, Frame(setup.image_size), 1, [0.5], [0.5],
                            setup.device), None
    pretrained = find_weights(setup, METHODS[name].needs, setup.image_size)
    return _images(setup.cohort, pretrained, setup.device), pretrained


def _network(setup: Setup, name: str, method: Method, images: CohortImages, pretrained: Pretrained | None,
             known: np.ndarray, tested: np.ndarray, seed: int) -> Fitted:
    """A network with all layers trained."""
    set_seeds(seed)
    classes = len(setup.cohort.class_names)
    if pretrained is None:
        model = small_network(name, setup.image_size, classes)
    else:
        model = load_transfer(pretrained, classes)
        model.unfreeze("all")
    return _trained(model.to(setup.device), images.batches, setup, method, known, tested)


def _trained(model: nn.Module, batches, setup: Setup, method: Method, known: np.ndarray, tested: np.ndarray) -> Fitted:
    cohort, new = setup.cohort, np.flatnonzero(tested)
    weights = class_weights(torch.from_numpy(cohort.labels[known]), len(cohort.class_names), 0.5)
    pretrained = isinstance(model, TransferModel) and method.layer_decay < 1
    images = train_network(model, batches(np.flatnonzero(known), method.batch_size, True), method.factor * setup.steps,
                           weights, setup.device, lr=method.lr, weight_decay=method.weight_decay,
                           rates=layer_lr_factors(model, method.layer_decay) if pretrained else None)
    _, found = patient_probabilities(model, batches(new, SCORED), cohort.labels[new], cohort.subjects[new],
                                     setup.device)
    return found, images
