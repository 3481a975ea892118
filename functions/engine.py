"""The explicit loop: one pass of learning, one pass of scoring, and epochs of both."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from tqdm import tqdm

from functions.runtime import autocast


@dataclass(frozen=True)
class EpochScores:
    """One pass over a data set: loss and accuracies (fractions), how often each class was predicted for each truth."""

    loss: float
    acc: float
    balanced_acc: float                    # mean recall over the classes that occur
    confusion: Tensor                      # (K, K) counts, truth down, prediction across
    seconds: float                         # wall clock
    probabilities: Tensor | None = None    # (n, K), in the data's order; from test_step only
    labels: Tensor | None = None           # (n,)


class Sums:
    """Loss and confusion counts, summed on the device and divided once: right however the batches were cut."""

    def __init__(self, device: torch.device, what: str):
        self.what = what                                                  # "training" or "scoring"
        self.loss = torch.zeros((), device=device)
        self.confusion = None                                             # (K, K), made when K is known
        self.first_bad_step = torch.full((), torch.inf, device=device)
        self.count = 0
        self.started = time.perf_counter()

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor, step: int) -> None:
        """Adds a batch whose mean loss is `loss`; remembers the first step whose loss was not finite."""
        num_classes = logits.shape[1]
        if self.confusion is None:
            self.confusion = torch.zeros(num_classes * num_classes, dtype=torch.long, device=logits.device)
        cell = labels * num_classes + logits.argmax(dim=1)
        self.confusion.index_add_(0, cell, torch.ones_like(cell))
        self.loss += loss.detach().float() * len(labels)
        self.first_bad_step = torch.where(loss.isfinite(), self.first_bad_step, self.first_bad_step.clamp(max=step))
        self.count += len(labels)

    def scores(self, **predictions: Tensor) -> EpochScores:
        """The epoch's only synchronisation; FloatingPointError names the first step whose loss was not finite."""
        if self.count == 0:
            raise ValueError("the data set holds no images: nothing was trained or scored")
        loss, bad = self.loss.item() / self.count, self.first_bad_step.item()
        if bad != float("inf"):
            raise FloatingPointError(
                f"the loss is not finite at step {bad + 1:.0f} of this epoch's {self.what}: "
                "try a lower --lr, a longer --warmup_share, --clip_norm 1, or --precision fp32"
            )
        confusion = self.confusion.cpu().view(round(len(self.confusion) ** 0.5), -1)
        occurring = confusion.sum(dim=1) > 0
        recall = confusion.diagonal()[occurring] / confusion.sum(dim=1)[occurring]
        acc = confusion.diagonal().sum().item() / self.count
        seconds = time.perf_counter() - self.started
        return EpochScores(loss, acc, recall.double().mean().item(), confusion, seconds, **predictions)


def in_groups(batches: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` batches, the last one shorter."""
    batches = iter(batches)
    while group := list(islice(batches, size)):
        yield group


def train_step(
    model: nn.Module,
    dataloader: Iterable,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    scaler: torch.amp.GradScaler | None = None,
    precision: str = "fp32",
    clip_norm: float = 0.0,
    accumulation: int = 1,
    last_step: int | None = None,
    progress: str = "",
) -> EpochScores:
    """One epoch of learning over batches of (images (B, C, H, W), labels (B,)).

    An optimiser step takes `accumulation` batches and follows the gradient of the mean loss over all their images, so
    uneven last batches weigh what they hold. Gradients are clipped at global norm `clip_norm` (0: not), after the
    fp16 scale is taken out; `scheduler` moves once a step, and at its `last_step` the epoch ends early. `loss_fn` gives
    one loss an image, or a batch's mean.
    """
    model.train()
    sums = Sums(device, "training")
    scaler = scaler or torch.amp.GradScaler(device.type, enabled=False)
    bar = tqdm(total=len(dataloader), desc=progress, leave=False, disable=None if progress else True)
    for step, group in enumerate(in_groups(dataloader, accumulation)):
        num_images = sum(len(labels) for _, labels in group)
        for images, labels in group:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with autocast(precision, device):
                logits = model(images)
                loss = loss_fn(logits, labels).mean()
            scaler.scale(loss * (len(labels) / num_images)).backward()
            sums.add(logits, labels, loss, step)
            bar.update()
        if clip_norm:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if scheduler:
            scheduler.step()
            if scheduler.last_epoch == last_step:
                break
    bar.close()
    return sums.scores()


@torch.inference_mode()
def test_step(
    model: nn.Module,
    dataloader: Iterable,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    *,
    precision: str = "fp32",
    progress: str = "",
) -> EpochScores:
    """One pass of scoring: loss, accuracies, and every image's class probabilities in the data's order."""
    model.eval()
    sums = Sums(device, "scoring")
    probabilities, truth = [], []
    for step, (images, labels) in enumerate(tqdm(dataloader, desc=progress, leave=False,
                                                 disable=None if progress else True)):
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        with autocast(precision, device):
            logits = model(images)
            loss = loss_fn(logits, labels).mean()
        sums.add(logits, labels, loss, step)
        probabilities.append(logits.float().softmax(dim=1))
        truth.append(labels)
    if not truth:
        return sums.scores()
    return sums.scores(probabilities=torch.cat(probabilities).cpu(), labels=torch.cat(truth).cpu())


test_step.__test__ = False    # the replicated repository's name for it; pytest would take it for a test


def train(
    model: nn.Module,
    train_dataloader: Iterable,
    test_dataloader: Iterable,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    device: torch.device,
    *,
    val_dataloader: Iterable | None = None,
    history: dict[str, list[float]] | None = None,
    after_epoch: Callable[[int, dict[str, EpochScores], dict[str, list[float]]], bool | None] | None = None,
    precision: str = "fp32",
    **step_options,
) -> dict[str, list[float]]:
    """Epochs of train_step and test_step; one list entry an epoch under {train, val, test}_{loss, acc}.

    Continues after the epochs already in `history`. `after_epoch(epoch, scores by split, history)` prints, saves and
    selects; when it returns True, training pauses there. `step_options` go to train_step.
    """
    scored = {"val": val_dataloader, "test": test_dataloader}
    scored = {split: loader for split, loader in scored.items() if loader is not None}
    history = history or {f"{split}_{what}": [] for split in ("train", *scored) for what in ("loss", "acc")}
    for epoch in range(len(history["train_loss"]) + 1, epochs + 1):
        scores = {"train": train_step(model, train_dataloader, loss_fn, optimizer, device, precision=precision,
                                      progress=f"epoch {epoch}", **step_options)}
        for split, loader in scored.items():
            scores[split] = test_step(model, loader, loss_fn, device, precision=precision, progress=split)
        for split, result in scores.items():
            history[f"{split}_loss"].append(result.loss)
            history[f"{split}_acc"].append(result.acc)
        if after_epoch and after_epoch(epoch, scores, history):
            break
    return history
