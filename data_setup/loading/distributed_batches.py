"""Which images of each batch are whose, where several processes train one model (torchrun), and in which order."""

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor

IGNORED = -100     # the label of an image that only fills a share up: nn.CrossEntropyLoss's own ignore_index


def place() -> tuple[int, int]:
    """(this process's number, how many there are); (0, 1) without torchrun."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def shares(order: Tensor, batch_size: int, rank: int, world: int) -> Iterator[tuple[Tensor, int]]:
    """(process `rank`'s part of each batch of world · batch_size images, how many of them count).

    Process r takes images r, r + W, …; if that leaves it one short of process 0, the batch's first image fills it up.
    """
    for batch in order.split(batch_size * world):
        mine = batch[rank::world]
        fillers = len(batch[::world]) - len(mine)
        yield torch.cat([mine, batch[:fillers]]), len(mine)


def pass_number(device: torch.device) -> int:
    """One number from torch's global generator, process 0's for all: from it comes the order of a pass.

    The other processes' generators begin anew from it, each with numbers of its own (augmentation, dropout): so process
    0's state alone, which a checkpoint holds, decides everything that all of them draw.
    """
    number = torch.randint(2**31, ())
    if dist.is_initialized():
        number = number.to(device)
        dist.broadcast(number, src=0)
        if dist.get_rank() > 0:
            torch.manual_seed(int(number) + dist.get_rank())
    return int(number)
