"""The training loop: one epoch of training, one pass of evaluation, and a loop over epochs."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from functions.epoch_metrics import EpochScores, EpochSums
from functions.runtime.device import autocast
from functions.runtime.distributed import (
    IGNORED,
    all_gather,
    broadcast_buffers,
    count_images,
    data_parallel,
    gradient_sync,
    is_main,
    world_size,
)


class Batches(Protocol):
    """Batches (images, labels) of known number, such as those of a DataLoader."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


def group_batches(batches: Iterable, size: int) -> Iterator[tuple[list, float]]:
    """Yields (list of `size` batches, the last one shorter; seconds spent waiting for them)."""
    remaining = iter(batches)
    while True:
        started = time.perf_counter()
        if not (group := list(islice(remaining, size))):
            return
        yield group, time.perf_counter() - started


def train_step(
    model: nn.Module,
    dataloader: Batches,
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
    after_step: Callable[[], None] | None = None,
    loaded: str = "",
    progress: str = "",
) -> EpochScores:
    """One epoch of training over batches of (images (B, C, H, W), labels (B,) or soft targets (B, K)).

    An optimiser step uses `accumulation` batches and the gradient of the mean loss over all their images, so a short
    last batch is weighted by its size. Gradients are unscaled (fp16) and then clipped at global norm `clip_norm` (0: no
    clipping). `scheduler` advances once per step; at its `last_step` the epoch ends early. `loss_fn` returns one loss
    per image, or the batch mean (several processes need the former). `after_step` is called after each step. `loaded`
    names the weights in error messages if they were loaded from a file and not trained yet.
    """
    model.train()
    sums, data_wait = EpochSums(device, "training", loaded), 0.0
    scaler = scaler or torch.amp.GradScaler(device.type, enabled=False)
    bar = _bar(dataloader, progress)
    for step, (group, seconds) in enumerate(group_batches(dataloader, accumulation)):
        data_wait += seconds
        num_images = count_images(group, device) / world_size()           # gradients are averaged over processes
        for i, (images, labels) in enumerate(group):
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with gradient_sync(model, last=i == len(group) - 1):
                with autocast(precision, device):
                    logits = model(images)
                logits = logits.float()                  # autocast would compute the cross-entropy in bf16
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
        if after_step:
            after_step()
        if scheduler:
            scheduler.step()
            if scheduler.last_epoch == last_step:
                break
    bar.close()
    broadcast_buffers(model)
    return sums.scores(data_wait=data_wait)


def _bar(dataloader: Batches, progress: str) -> tqdm:
    return tqdm(total=len(dataloader), desc=progress, leave=False, disable=None if progress and is_main() else True)


@torch.no_grad()          # not inference_mode: parameters gathered by FSDP in it cannot be trained afterwards
def test_step(
    model: nn.Module,
    dataloader: Batches,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    device: torch.device,
    *,
    precision: str = "fp32",
    progress: str = "",
) -> EpochScores:
    """One evaluation pass: loss, accuracies, and the class probabilities of all images in the order of the data."""
    model.eval()
    sums = EpochSums(device, "scoring")
    probabilities, truth = [], []
    bar = _bar(dataloader, progress)
    for step, (images, labels) in enumerate(dataloader):
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        with autocast(precision, device):
            logits = model(images)
        logits = logits.float()
        loss = loss_fn(logits, labels).mean()
        sums.add(logits, labels, loss, step)
        probabilities.append(logits.softmax(dim=1))
        truth.append(labels)
        bar.update()
    bar.close()
    if not truth:
        return sums.scores()
    gathered, labels = all_gather(torch.cat(probabilities)), all_gather(torch.cat(truth))
    real = labels != IGNORED
    return sums.scores(probabilities=gathered[real].cpu(), labels=labels[real].cpu())


# pytest would collect it by its name
test_step.__test__ = False    # type: ignore[attr-defined]


def train(
    model: nn.Module,
    train_dataloader: Batches,
    test_dataloader: Batches | None,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    device: torch.device,
    *,
    val_dataloader: Batches | None = None,
    history: dict[str, list[float]] | None = None,
    after_epoch: Callable[[int, dict[str, EpochScores], dict[str, list[float]]], bool | None] | None = None,
    precision: str = "fp32",
    loaded: str = "",
    scoring: Callable[[], AbstractContextManager] = nullcontext,
    **step_options,
) -> dict[str, list[float]]:
    """Runs train_step and test_step for `epochs`; returns {train, val, test}_{loss, acc} lists, one entry per epoch.

    Without `val_dataloader` or `test_dataloader` (None) its lists are missing. Continues after the epochs already in
    `history`. `after_epoch(epoch, scores by split, history)` prints, saves and selects; if it returns True, training
    pauses. `loaded` names the initial weights if they were loaded from a file. Each epoch is scored inside the context
    `scoring()`. `step_options` are passed to train_step.
    """
    scored = {split: loader for split, loader in (("val", val_dataloader), ("test", test_dataloader))
              if loader is not None}
    names = [f"{split}_{metric}" for split in ("train", *scored) for metric in ("loss", "acc")]
    history = {} if history is None else history
    if history and (missing := sorted(set(names) - set(history))):
        raise ValueError(f"history has no {', '.join(missing)}: it is of a training with other dataloaders")
    for name in names:
        history.setdefault(name, [])
    parallel_model = data_parallel(model)
    for epoch in range(len(history["train_loss"]) + 1, epochs + 1):
        scores = {"train": train_step(parallel_model, train_dataloader, loss_fn, optimizer, device, precision=precision,
                                      loaded=loaded, progress=f"epoch {epoch}", **step_options)}
        loaded = ""
        with scoring():
            for split, loader in scored.items():
                scores[split] = test_step(model, loader, loss_fn, device, precision=precision, progress=split)
        for split, result in scores.items():
            history[f"{split}_loss"].append(result.loss)
            history[f"{split}_acc"].append(result.acc)
        if after_epoch and after_epoch(epoch, scores, history):
            break
    return history
