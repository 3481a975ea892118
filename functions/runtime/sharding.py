"""Activation checkpointing and FSDP sharding, for models that do not fit in memory otherwise."""

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
    """Makes each block store only its input and recompute its activations in the backward pass.

    This saves memory and costs about a third more computation. Outputs, gradients, random numbers and running
    statistics do not change. Source: Chen et al. 2016, arXiv 1604.06174.
    """
    for block in blocks:
        norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
        contexts = {"context_fn": partial(_recompute_contexts, norms)} if norms else {}
        block.forward = partial(checkpoint, block.forward, use_reentrant=False, **contexts)


def _recompute_contexts(norms: list[_BatchNorm]) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts of the forward pass and of the recomputation, in which BatchNorm statistics are not updated again."""
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
    """Shards weights, gradients and optimiser state over all processes, block by block (FSDP2).

    Must be called before the optimiser is created. With bf16, the matrices of the blocks are all-gathered in bf16, as
    autocast casts them; normalisation, positions, classifier and the residual stream stay in fp32. Logits under
    autocast equal those of the unsharded model. Raises UserError without torchrun, and for fp16, whose gradient scaler
    would see only one shard of each gradient.
    """
    if not dist.is_initialized():
        raise UserError("--shard distributes the weights over several processes: start them with torchrun, or give "
                        "--no_shard")
    if precision == "fp16":
        raise UserError("--shard needs --precision bf16 or fp32: fp16 gradient scaling needs unsharded gradients")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # the import takes a second

    # without a mesh, FSDP takes the machine's GPU, also for a model on the CPU
    mesh = init_device_mesh(next(model.parameters()).device.type, (dist.get_world_size(),))
    fp32 = MixedPrecisionPolicy()
    # all-gather in bf16, which halves the communication; gradients are reduced in fp32
    bf16 = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for block in blocks:
        norms: list[nn.Module] = [m for m in block.modules() if isinstance(m, (nn.LayerNorm, _BatchNorm))]
        if norms and precision == "bf16":
            fully_shard(norms, mesh=mesh, mp_policy=fp32)
        fully_shard(block, mesh=mesh, mp_policy=bf16 if precision == "bf16" else fp32)
    fully_shard(model, mesh=mesh, mp_policy=fp32)


def full_state(state, everywhere: bool = False):
    """A state_dict, or any nested dicts and lists, with every sharded tensor gathered on the CPU of process 0.

    All processes must call it. The others get meta tensors unless `everywhere`. Unsharded values are unchanged.
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
    """A full tensor, sharded like `like`; unchanged if `like` is not sharded or has another shape."""
    if not hasattr(like, "full_tensor") or value.shape != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements,  # type: ignore[attr-defined]
                             src_data_rank=None)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """`optimizer.load_state_dict` for a full state, sharded as the weights of this run are.

    `fused` is not restored: it depends on the device and on sharding.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {number: {name: _laid_out(value, params[number]) for name, value in entries.items()}
             for number, entries in state["state"].items()}
    groups = [theirs | {"fused": ours["fused"]}
              for theirs, ours in zip(state["param_groups"], optimizer.param_groups, strict=True)]
    optimizer.load_state_dict({"state": parts, "param_groups": groups})


@torch.no_grad()
def _laid_out(value: Tensor, param: Tensor) -> Tensor:
    """A moment in memory as its parameter is, by which a fused step writes it; a count of steps as it is."""
    if value.shape != param.shape:
        return value
    if hasattr(param, "full_tensor"):
        return distribute_like(value.contiguous(), param)
    return torch.empty_like(param).copy_(value)
