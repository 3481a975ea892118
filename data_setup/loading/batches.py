"""Slices as batches on the device: in which order, whose share of them, from memory, the GPU's memory, or the disk."""

import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from data_setup.loading.distributed_batches import IGNORED, pass_number, place, shares


class Batches:
    """uint8 slices, transformed on the device, as batches (images (B, C, H, W), labels (B,)); anew in every pass.

    `dataset.__getitems__(places)` gives a whole batch. Slices in memory are taken from there, on the device if they lie
    there; `from_disk` has `num_workers` processes read them. Every pass takes one number from torch's global generator
    and nothing else, however slices are read: so an epoch's order is the same in memory and from disk, before and after
    a run was resumed. Among several processes a batch is this one's share of it (distributed_batches.py). `rows` are
    the places to go through, if not all.
    """

    def __init__(self, dataset: Dataset, batch_size: int, shuffle: bool, transform: nn.Module, device: torch.device,
                 *, from_disk: bool = False, num_workers: int = 0, rows: Sequence[int] | None = None):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.transform, self.device = transform.to(device), device
        self.rows = torch.arange(len(dataset)) if rows is None else torch.tensor(rows)
        self.places = _Places()                  # of a pass, for the processes that read them
        self.loader = DataLoader(dataset, batch_sampler=self.places, collate_fn=take_as_is, num_workers=num_workers,
                                 generator=torch.Generator(), pin_memory=device.type == "cuda",
                                 persistent_workers=num_workers > 0, worker_init_fn=end_quietly) if from_disk else None

    def __len__(self) -> int:
        return -(-len(self.rows) // (self.batch_size * place()[1]))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(pass_number(self.device))
        order = self.rows[torch.randperm(len(self.rows), generator=generator)] if self.shuffle else self.rows
        order = order.to(self.dataset.labels.device)        # where the slices lie, at once and not batch by batch
        parts, counts = zip(*shares(order, self.batch_size, *place()), strict=True)
        for (pixels, labels), count in zip(self._on_device(self._read(parts)), counts, strict=True):
            if count < len(labels):
                labels[count:] = IGNORED
            yield self.transform(pixels), labels

    def _on_device(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches on the device; for a GPU the next one is pinned and its copy queued before one is given out."""
        if self.device.type != "cuda" or self.dataset.labels.device.type == "cuda":
            return (tuple(part.to(self.device) for part in batch) for batch in batches)
        return one_ahead(tuple(part.pin_memory().to(self.device, non_blocking=True) for part in batch)
                         for batch in batches)

    def _read(self, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        if self.loader is None:
            return map(self.dataset.__getitems__, parts)
        self.places.batches = [places.tolist() for places in parts]
        return iter(self.loader)

    def in_order(self, rows: Sequence[int], batch_size: int) -> "Batches":
        """These slices of it in this order, transformed as ever."""
        workers = {"from_disk": True, "num_workers": self.loader.num_workers} if self.loader else {}
        return Batches(self.dataset, batch_size, False, self.transform, self.device, rows=rows, **workers)


class _Places:
    """A DataLoader's batch sampler: the lists it was given last. It knows no Batches: a circle would leave the reading
    processes to the garbage collector, which waits ten seconds for them.
    """

    def __init__(self):
        self.batches: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def one_ahead(items: Iterator) -> Iterator:
    """The same items; each is asked for before the one ahead of it is given out."""
    items = iter(items)
    for upcoming in items:
        for following in items:
            yield upcoming
            upcoming = following
        yield upcoming


def end_quietly(worker: int) -> None:
    """In a reading process: that the process it reads for stops listening, because another reader died, is no news."""
    def hook(kind, *error):
        if not issubclass(kind, (ConnectionError, EOFError)):
            sys.__excepthook__(kind, *error)

    sys.excepthook = hook


def take_as_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A whole batch comes from `__getitems__` already; nothing is left to collate."""
    return batch
