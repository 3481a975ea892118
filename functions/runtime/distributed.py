"""Data-parallel training over the processes that `torchrun` starts.

Without torchrun there is one process, and the functions here return their argument unchanged. Process r of W takes the
images r, r + W, … of each batch. If a batch does not divide evenly, the shorter parts are padded with an image that has
the label IGNORED and counts in no loss or score. All parts therefore have the same shape, and every image counts once.
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

IGNORED = -100                 # the default ignore_index of nn.CrossEntropyLoss: loss and gradient are 0
TIMEOUT = timedelta(hours=2)   # of a collective: one process may compute for a long time while the others wait


def join(device: torch.device) -> None:
    """Joins the process group of torchrun, over NCCL on GPUs and Gloo on CPUs; does nothing without torchrun.

    Processes other than 0 print nothing afterwards. Raises UserError on a device without a backend.
    """
    by_torchrun = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(os.environ)  # some clusters set only one
    if by_torchrun and not dist.is_initialized():
        if device.type not in ("cuda", "cpu"):
            raise UserError(f"torchrun needs CUDA GPUs or CPUs, this is a {device.type} run: start it without torchrun")
        gpu = device.type == "cuda"
        dist.init_process_group("nccl" if gpu else "gloo", timeout=TIMEOUT, device_id=device if gpu else None)
        atexit.register(leave)
        if not is_main():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def leave() -> None:
    """Leaves the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The rank of this process, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is process 0, the only one that writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Blocks until all processes have called it."""
    if world_size() > 1:
        dist.barrier()


def split_step(batch_size: int, accumulation: int, before: int, now: int) -> tuple[int, int]:
    """(batch size, accumulation) that keep the number of images per step when the process count changes.

    `before` and `now` are process counts. The batch size does not grow. Raises UserError if the images of a step do not
    divide evenly.
    """
    images = batch_size * accumulation * before
    if images % now:
        raise UserError(f"this run's steps of {images} images cannot be divided evenly among {now} processes: "
                        f"resume it with {before}, or another number that divides {images}")
    mine = images // now
    parts = next(parts for parts in range(1, mine + 1) if mine % parts == 0 and mine // parts <= batch_size)
    return mine // parts, parts


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum of `value` over all processes."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def all_reduce_min(value: Tensor) -> Tensor:
    """The minimum of `value` over all processes."""
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value, dist.ReduceOp.MIN)
    return value


def broadcast(value):
    """The `value` of process 0; any picklable object."""
    if world_size() == 1:
        return value
    objects = [value]
    dist.broadcast_object_list(objects, src=0)
    return objects[0]


def all_gather(rows: Tensor) -> Tensor:
    """Gathers the rows (n, …) of all processes in the order of the data: (W·n, …), padding at the end."""
    if world_size() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def hard_labels(labels: Tensor) -> Tensor:
    """Class indices (B,): `labels` themselves, or of soft targets (B, K) the class with the largest share.

    IGNORED marks padding, which is a row of zeros among soft targets.
    """
    return labels if labels.ndim == 1 else labels.argmax(dim=1).where(labels.any(dim=1), IGNORED)


def count_images(group: list[tuple[Tensor, Tensor]], device: torch.device) -> int | Tensor:
    """The number of images in a step's batches over all processes, without padding; does not synchronise the GPU."""
    if world_size() == 1:
        return sum(len(labels) for _, labels in group)
    real = torch.stack([(hard_labels(labels) != IGNORED).sum() for _, labels in group])
    return all_reduce_sum(real.sum().to(device))


def data_parallel(model: nn.Module) -> nn.Module:
    """The model wrapped in DistributedDataParallel, which averages gradients over all processes."""
    if world_size() == 1 or is_sharded(model) or not any(p.requires_grad for p in model.parameters()):
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None,
                                   gradient_as_bucket_view=True)


def gradient_sync(model: nn.Module, last: bool) -> AbstractContextManager:
    """The context for one batch of a step: gradients are synchronised only for the `last` batch."""
    if is_sharded(model):
        model.set_requires_gradient_sync(last)  # type: ignore[operator]     # of FSDPModule
    return model.no_sync() if isinstance(model, DistributedDataParallel) and not last else nullcontext()


def broadcast_buffers(model: nn.Module) -> None:
    """Broadcasts the buffers of process 0, such as BatchNorm statistics, so that all processes score the same model."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights are sharded over the processes (--shard)."""
    return hasattr(model, "set_requires_gradient_sync")      # FSDPModule; importing its package takes a second
