"""Larger models in the memory there is: activations made again instead of kept, weights spread over processes."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from functions.runtime.distributed import is_main
from functions.runtime.errors import UserError


def checkpoint_activations(blocks: Sequence[nn.Module]) -> None:
    """Each block keeps its input alone and computes the rest again on the way back: less memory, a third more work.

    Outputs, gradients, random numbers and running statistics stay as they were. Chen et al. 2016, arXiv 1604.06174.
    """
    for block in blocks:
        norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
        contexts = {"context_fn": partial(_recompute_contexts, norms)} if norms else {}
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, **contexts)


def _recompute_contexts(norms: list[_BatchNorm]) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts of a block's first pass and of its second, in which a batch does not count again (a ResNet's norms)."""
    return nullcontext(), _frozen_statistics(norms)


@contextmanager
def _frozen_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def shard(model: nn.Module, blocks: Sequence[nn.Module], precision: str = "fp32") -> None:
    """Spreads weights, gradients and the optimiser's state over all processes (FSDP2), block by block.

    Called before the optimizer is made. With bf16, the matrices of the blocks are all-gathered in bf16, as autocast
    casts them; normalisation, positions, classifier and the residual stream stay in fp32: logits under autocast equal
    those of the whole model. UserError without torchrun, and for fp16, whose scaler would see only this process's part
    of a gradient.
    """
    if not dist.is_initialized():
        raise UserError("--shard spreads the weights over several processes: start them with torchrun, or go on with "
                        "--no_shard")
    if precision == "fp16":
        raise UserError("--shard needs --precision bf16 or fp32: fp16 scales by gradients that no process has whole")
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # takes a second to load

    fp32 = MixedPrecisionPolicy()
    # gathered in bf16, which halves what travels; gradients are summed in fp32
    bf16 = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for block in blocks:
        norms = [module for module in block.modules() if isinstance(module, (nn.LayerNorm, _BatchNorm))]
        if norms and precision == "bf16":
            fully_shard(norms, mp_policy=fp32)
        fully_shard(block, mp_policy=bf16 if precision == "bf16" else fp32)
    fully_shard(model, mp_policy=fp32)


def full_state(state, everywhere: bool = False):
    """A state_dict, or any nest of dicts and lists, with every sharded tensor gathered on the CPU of process 0.

    All processes must call it; the others get tensors without content, unless `everywhere`. What is not sharded stays.
    """
    if isinstance(state, dict):
        return {name: full_state(value, everywhere) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [full_state(value, everywhere) for value in state]
    if not hasattr(state, "full_tensor"):
        return state
    gathered = state.full_tensor()
    return gathered.cpu() if everywhere or is_main() else gathered.to("meta")


def distribute_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, cut up as the sharded `like` is; unchanged where `like` is whole, or no tensor of its shape."""
    if not hasattr(like, "full_tensor") or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """`optimizer.load_state_dict` of a whole state, cut up where this run's weights are.

    Whether its step is fused is this run's own: that hangs on the device, and on whether weights are sharded.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {number: {name: distribute_like(value, params[number]) if isinstance(value, Tensor) else value
                      for name, value in entries.items()} for number, entries in state["state"].items()}
    groups = [theirs | {"fused": ours["fused"]}
              for theirs, ours in zip(state["param_groups"], optimizer.param_groups, strict=True)]
    optimizer.load_state_dict({"state": parts, "param_groups": groups})
