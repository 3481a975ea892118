"""The part of each batch that each process gets when several processes train one model (torchrun), and the epoch's
seed.
"""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor

IGNORED = -100     # the label of padding images: nn.CrossEntropyLoss's own ignore_index


def rank_and_world_size() -> tuple[int, int]:
    """(rank of this process, number of processes); (0, 1) without torchrun."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def rank_batches(order: Tensor, batch_size: int, rank: int, world: int) -> Iterator[tuple[Tensor, int]]:
    """(part of process `rank` in each batch of world · batch_size images, how many of them count).

    Process r takes images r, r + W, …; if that is one fewer than process 0 has, the batch's first image pads it.
    """
    for batch in order.split(batch_size * world):
        own = batch[rank::world]
        fillers = len(batch[::world]) - len(own)
        yield torch.cat([own, batch[:fillers]]), len(own)


def epoch_seed(device: torch.device) -> int:
    """One number from torch's global generator, broadcast from process 0: it seeds the order of an epoch.

    The other processes reseed their generators from it, each with its own seed (augmentation, dropout). So the state of
    process 0, which a checkpoint holds, determines the random numbers of all.
    """
    number = torch.randint(2**31, ())
    if dist.is_initialized():
        number = number.to(device)
        dist.broadcast(number, src=0)
        if dist.get_rank() > 0:
            torch.manual_seed(int(number) + dist.get_rank())
    return int(number)
