"""Several processes training one model, as `torchrun` starts them: each has its share of every batch.

Without torchrun there is one process, and everything here leaves its argument as it is. Shares: process r of W takes
the images r, r + W, … of a batch; where they do not go round, the others fill theirs up with an image labelled IGNORED,
which no loss or score counts. So all shares have one shape, and every image counts once.
"""

import atexit
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from functions.runtime.errors import UserError

IGNORED = -100                 # nn.CrossEntropyLoss's own ignore_index: loss and gradient are 0
TIMEOUT = timedelta(hours=2)  # for the others: one may still be computing what the rest wait for


def join(device: torch.device) -> None:
    """Joins the processes that torchrun started, over NCCL between GPUs and Gloo between CPUs; alone, nothing.

    All but process 0 print nothing from here on. ValueError on a device that has neither.
    """
    told = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)      # some clusters set one of them
    if told and not dist.is_initialized():
        if device.type not in ("cuda", "cpu"):
            raise UserError(f"torchrun needs CUDA GPUs or CPUs, this is a {device.type} run: leave torchrun out")
        which = {"device_id": device} if device.type == "cuda" else {}
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT, **which)
        atexit.register(leave)
        if not is_main():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def leave() -> None:
    """Leaves the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def wait() -> None:
    """Until all processes are here."""
    if world_size() > 1:
        dist.barrier()


def split_step(batch_size: int, accumulation: int, before: int, now: int) -> tuple[int, int]:
    """(batch size, accumulation) with which `now` processes take steps over as many images as `before` ones did.

    Batches do not grow. ValueError where the images of a step cannot be shared out evenly.
    """
    images = batch_size * accumulation * before
    if images % now:
        raise UserError(f"this run's steps of {images} images cannot be shared out among {now} processes: "
                        f"resume it with {before}, or another number that divides {images}")
    mine = images // now
    parts = next(parts for parts in range(1, mine + 1) if mine % parts == 0 and mine // parts <= batch_size)
    return mine // parts, parts


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def all_reduce_min(value: Tensor) -> Tensor:
    """The smallest of all processes' values."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.MIN)
    return value


def broadcast(value):
    """Process 0's `value`, whatever it is."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def all_gather(rows: Tensor) -> Tensor:
    """Every process's rows (n, …), from shares of batches, in the order of the whole: (W·n, …), fillers at the end."""
    if world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def count_images(group: list[tuple[Tensor, Tensor]], device: torch.device) -> int | Tensor:
    """How many images a step's batches hold in all processes, fillers left out; never waits for a GPU."""
    if world_size() == 1:
        return sum(len(labels) for _, labels in group)
    return all_reduce_sum(sum((labels != IGNORED).sum() for _, labels in group).to(device))


def data_parallel(model: nn.Module) -> nn.Module:
    """The model, its gradients averaged over all processes while they are computed (DistributedDataParallel)."""
    if world_size() == 1 or is_sharded(model) or not any(p.requires_grad for p in model.parameters()):
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None,
                                   gradient_as_bucket_view=True)


def gradient_sync(model: nn.Module, last: bool) -> AbstractContextManager:
    """The context of a step's batch: gradients travel between processes with its `last` one only."""
    if is_sharded(model):
        model.set_requires_gradient_sync(last)
    return model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext()


def broadcast_buffers(model: nn.Module) -> None:
    """Running statistics (a ResNet's) become process 0's, so that all processes score with one model."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def is_sharded(model: nn.Module) -> bool:
    """Whether each process keeps only a part of the weights (--shard)."""
    return hasattr(model, "set_requires_gradient_sync")      # FSDPModule's; its package takes a second to load
