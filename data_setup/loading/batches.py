"""Batches of slices on the device: order, distribution over processes, and source (memory, GPU memory or disk)."""

import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data_setup.loading.distributed_batches import IGNORED, epoch_seed, rank_and_world_size, rank_batches
from data_setup.loading.mixing import Mixing


class Batches:
    """Batches (images (B, C, H, W), labels (B,)) of uint8 slices, transformed on the device; every iteration is one
    epoch.

    `dataset.__getitems__(indices)` returns a whole batch. Slices in memory are indexed directly, on the device if they
    are there; with `from_disk`, `num_workers` processes read them. Every epoch takes one number from torch's global
    generator and nothing else, so its order is the same in memory and from disk, and before and after a resume. With
    several processes, each gets its part of a batch (distributed_batches.py). `rows` are the indices to iterate over,
    by default all. With `mixing`, images are mixed after the transform, and labels are soft targets (B, K).
    """

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool, transform: nn.Module, device: torch.device,
                 *, from_disk: bool = False, num_workers: int = 0, rows: Sequence[int] | None = None,
                 mixing: Mixing | None = None):
        self.dataset, self.batch_size, self.shuffle, self.mixing = dataset, batch_size, shuffle, mixing
        self.transform, self.device = transform.to(device), device
        self.rows = torch.arange(len(dataset)) if rows is None else torch.tensor(rows)
        self.index_lists = _IndexLists()              # of the current epoch, for the worker processes
        self.loader = DataLoader(dataset, batch_sampler=self.index_lists, collate_fn=identity_collate,
                                 num_workers=num_workers, generator=torch.Generator(),
                                 pin_memory=device.type == "cuda", persistent_workers=num_workers > 0,
                                 worker_init_fn=ignore_closed_pipe) if from_disk else None

    def __len__(self) -> int:
        return -(-len(self.rows) // (self.batch_size * rank_and_world_size()[1]))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.device))
        order = self.rows[torch.randperm(len(self.rows), generator=generator)] if self.shuffle else self.rows
        order = order.to(self.dataset.labels.device)        # one transfer, not one per batch
        index_batches, counts = zip(*rank_batches(order, self.batch_size, *rank_and_world_size()), strict=True)
        for (pixels, labels), count in zip(self._on_device(self._read(index_batches)), counts, strict=True):
            if count < len(labels):
                labels[count:] = IGNORED
            images = self.transform(pixels)
            yield self.mixing(images, labels, count) if self.mixing else (images, labels)

    def _on_device(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches on the device; for a GPU the next one is pinned and its copy queued before the current one is
        yielded.
        """
        if self.device.type != "cuda" or self.dataset.labels.device.type == "cuda":
            return (tuple(part.to(self.device) for part in batch) for batch in batches)
        return prefetch(tuple(part.pin_memory().to(self.device, non_blocking=True) for part in batch)
                         for batch in batches)

    def _read(self, index_batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        if self.loader is None:
            return map(self.dataset.__getitems__, index_batches)
        self.index_lists.batches = [indices.tolist() for indices in index_batches]
        return iter(self.loader)

    def in_order(self, rows: Sequence[int], batch_size: int) -> "Batches":
        """Batches of these slices in this order, with the same transform."""
        workers = {"from_disk": True, "num_workers": self.loader.num_workers} if self.loader else {}
        return Batches(self.dataset, batch_size, False, self.transform, self.device, rows=rows, **workers)


class _IndexLists:
    """Batch sampler of a DataLoader: the index lists assigned last.

    It holds no reference to Batches: a reference cycle would leave the worker processes to the garbage collector, which
    waits ten seconds for them.
    """

    def __init__(self):
        self.batches: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def prefetch(items: Iterator) -> Iterator:
    """The same items; each is requested before its predecessor is yielded."""
    items = iter(items)
    for current in items:
        for following in items:
            yield current
            current = following
        yield current


def ignore_closed_pipe(worker: int) -> None:
    """Worker init function: hides the error of a closed pipe after the main process has stopped reading."""
    def hook(kind, *error):
        if not issubclass(kind, (ConnectionError, EOFError)):
            sys.__excepthook__(kind, *error)

    sys.excepthook = hook


def identity_collate(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the batch unchanged: `__getitems__` has collated it already."""
    return batch
