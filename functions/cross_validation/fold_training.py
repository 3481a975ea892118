"""A network trained for a fixed number of optimiser steps, and its predictions of patients."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice, repeat

import numpy as np
import torch
from torch import Tensor, nn

from functions.engine import Batches, test_step, train_step
from functions.evaluation.patients import by_patient
from functions.runtime.device import resolve_precision
from functions.training.optimisation import CrossEntropy, make_optimizer
from functions.training.schedules import make_schedule


class Repeated:
    """Exactly `steps` batches: epoch after epoch of `batches`, the last one ended early."""

    def __init__(self, batches: Batches, steps: int):
        self.batches, self.steps = batches, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return islice(chain.from_iterable(repeat(self.batches)), self.steps)


def train_network(model: nn.Module, batches: Batches, steps: int, class_weights: Tensor, device: torch.device, *,
                  lr: float, weight_decay: float, label_smoothing: float = 0.1,
                  rates: Mapping[str, float] | None = None) -> int:
    """Trains `model` for `steps` optimiser steps and returns the number of images that it was trained on.

    AdamW, cosine schedule after a warm-up over a tenth of the steps, gradients clipped at norm 1, cross-entropy with
    weights (K,) of the classes. There is no selection: the weights of the last step remain. `rates` maps parameter
    names to learning-rate factors.
    """
    optimizer = make_optimizer(model, "adamw", lr, weight_decay, rates=rates)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", 1, steps, 0.1))
    loss_fn = CrossEntropy(class_weights.to(device), reduction="none", label_smoothing=label_smoothing)
    scores = train_step(model, Repeated(batches, steps), loss_fn, optimizer, device, scheduler=scheduler,
                        precision=resolve_precision("auto", device), clip_norm=1.0)
    return int(scores.confusion.sum())


def patient_probabilities(model: nn.Module, batches: Batches, labels: np.ndarray, subjects: np.ndarray,
                          device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """(ids, class probabilities (patients, K)): means over each patient's slices; `batches` are in the labels' order.
    """
    scores = test_step(model, batches, CrossEntropy(reduction="none"), device,
                       precision=resolve_precision("auto", device))
    means, _, ids = by_patient(scores.probabilities.double().numpy(), labels, subjects)
    return ids, means
