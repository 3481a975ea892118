"""What one pass over a data set adds up to: sums on the device, divided once, over all processes."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from functions.runtime.distributed import IGNORED, all_reduce_min, all_reduce_sum
from functions.runtime.errors import UserError


@dataclass(frozen=True)
class EpochScores:
    """One pass over a data set: loss and accuracies (fractions), how often each class was predicted for each truth."""

    loss: float
    acc: float
    balanced_acc: float                    # mean recall over the classes that occur
    confusion: Tensor                      # (K, K) counts, truth down, prediction across
    seconds: float                         # wall clock
    waited: float = 0.0                    # seconds of them in which there was no batch to learn from
    probabilities: Tensor | None = None    # (n, K), in the data's order; from test_step only
    labels: Tensor | None = None           # (n,)

    @property
    def images_per_second(self) -> float:
        """Images of all processes, waiting included."""
        return self.confusion.sum().item() / self.seconds


class EpochSums:
    """Loss and confusion counts, summed on the device and divided once: right however the batches were cut."""

    def __init__(self, device: torch.device, what: str, loaded: str = ""):
        self.what = what                                                  # "training" or "scoring"
        self.loaded = loaded                                              # the weights that its first step begins with
        self.loss = torch.zeros((), device=device)
        self.confusion = None                                             # (K, K), made when K is known
        self.first_bad_step = torch.full((), torch.inf, device=device)
        self.started = time.perf_counter()

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor, step: int) -> None:
        """Adds a batch whose mean loss is `loss`, fillers (IGNORED) counting as 0 in it and nowhere else.

        Remembers the first step whose loss was not finite.
        """
        num_classes = logits.shape[1]
        if self.confusion is None:
            self.confusion = torch.zeros(num_classes * num_classes, dtype=torch.long, device=logits.device)
        real = labels != IGNORED
        cell = labels * real * num_classes + logits.argmax(dim=1)
        self.confusion.index_add_(0, cell, real.long())
        self.loss += loss.detach().float() * len(labels)
        self.first_bad_step = torch.where(loss.isfinite(), self.first_bad_step, self.first_bad_step.clamp(max=step))

    def scores(self, **measured) -> EpochScores:
        """The epoch's only synchronisation; a UserError names the first step whose loss was not finite.

        `measured` are EpochScores' other fields.
        """
        if self.confusion is None:
            raise UserError("the data set holds no images: nothing was trained or scored")
        confusion = all_reduce_sum(self.confusion).cpu().view(round(len(self.confusion) ** 0.5), -1)
        count = confusion.sum().item()
        loss, bad = all_reduce_sum(self.loss).item() / count, all_reduce_min(self.first_bad_step).item()
        if bad == 0 and self.loaded:
            raise UserError(f"the loss is not finite at step 1 of this epoch's {self.what}, before any weight was "
                            f"changed: those that it began with, {self.loaded}, make it so: begin with others, or try "
                            "--precision fp32")
        if bad != float("inf"):
            raise UserError(
                f"the loss is not finite at step {bad + 1:.0f} of this epoch's {self.what}: "
                "try a lower --lr, a longer --warmup_share, --clip_norm 1, or --precision fp32"
            )
        occurring = confusion.sum(dim=1) > 0
        recall = confusion.diagonal()[occurring] / confusion.sum(dim=1)[occurring]
        acc = confusion.diagonal().sum().item() / count
        seconds = time.perf_counter() - self.started
        return EpochScores(loss, acc, recall.double().mean().item(), confusion, seconds, **measured)
