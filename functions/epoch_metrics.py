"""Metrics of one pass over a data set: sums on the device over all processes, divided once."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from functions.runtime.distributed import IGNORED, all_reduce_min, all_reduce_sum, hard_labels
from functions.runtime.errors import UserError


@dataclass(frozen=True)
class EpochScores:
    """Loss, accuracies (fractions) and confusion matrix of one pass over a data set."""

    loss: float
    acc: float
    balanced_acc: float                    # mean recall over the classes that occur
    confusion: Tensor                      # (K, K) counts: rows are true classes, columns are predictions
    seconds: float                         # wall-clock time
    data_wait: float = 0.0                 # seconds of it spent waiting for batches
    probabilities: Tensor | None = None    # (n, K), in the order of the data; from test_step only
    labels: Tensor | None = None           # (n,)

    @property
    def images_per_second(self) -> float:
        """Throughput over all processes; the time spent waiting for data is included."""
        return self.confusion.sum().item() / self.seconds


class EpochSums:
    """Loss and confusion counts, summed on the device and divided once, so that they do not depend on the batching."""

    def __init__(self, device: torch.device, phase: str, loaded: str = ""):
        self.phase = phase                                                # "training" or "scoring"
        self.loaded = loaded                                              # name of the initial weights, if loaded
        self.loss = torch.zeros((), device=device)
        self.confusion: Tensor | None = None                              # (K * K,), allocated when K is known
        self.first_bad_step = torch.full((), torch.inf, device=device)
        self.started = time.perf_counter()

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor, step: int) -> None:
        """Adds a batch with mean loss `loss`, in which padding (IGNORED) counts as 0; it counts nowhere else.

        Records the first step whose loss is not finite. Of soft targets (B, K), the class with the largest share counts
        as the true one.
        """
        num_classes, labels = logits.shape[1], hard_labels(labels)
        if self.confusion is None:
            self.confusion = torch.zeros(num_classes * num_classes, dtype=torch.long, device=logits.device)
        real = labels != IGNORED
        cell = labels * real * num_classes + logits.argmax(dim=1)
        self.confusion.index_add_(0, cell, real.long())
        self.loss += loss.detach().float() * len(labels)
        self.first_bad_step = torch.where(loss.isfinite(), self.first_bad_step, self.first_bad_step.clamp(max=step))

    def scores(self, **fields) -> EpochScores:
        """The scores of the epoch; the only device synchronisation. `fields` are the other fields of EpochScores.

        Raises UserError, naming the first step whose loss is not finite.
        """
        if self.confusion is None:
            raise UserError("the data set holds no images")
        confusion = all_reduce_sum(self.confusion).cpu().view(round(len(self.confusion) ** 0.5), -1)
        count = confusion.sum().item()
        loss, bad = all_reduce_sum(self.loss).item() / count, all_reduce_min(self.first_bad_step).item()
        if bad == 0 and self.loaded:
            raise UserError(f"the loss is not finite at step 1 of this epoch's {self.phase}, before any weight was "
                            f"changed: the initial weights, {self.loaded}, are the cause; use others, or try "
                            "--precision fp32")
        if bad != float("inf"):
            raise UserError(
                f"the loss is not finite at step {bad + 1:.0f} of this epoch's {self.phase}: "
                "try a lower --lr, a longer --warmup_share, --clip_norm 1, or --precision fp32"
            )
        occurring = confusion.sum(dim=1) > 0
        recall = confusion.diagonal()[occurring] / confusion.sum(dim=1)[occurring]
        acc = confusion.diagonal().sum().item() / count
        seconds = time.perf_counter() - self.started
        return EpochScores(loss, acc, recall.double().mean().item(), confusion, seconds, **fields)
