"""What a checkpoint must hold of the optimiser: of plain types when read, and exactly the running optimiser's own.

A fused step reads and writes every moment by its parameter's size, unchecked: one of another shape would damage memory.
"""

import torch
from torch import Tensor

from functions.checkpointing.plain_values import dense, finite, key, not_below_zero, plain, shown, text, wrong
from functions.runtime.errors import UserError

ROOTED = ("step", "exp_avg_sq", "max_exp_avg_sq")        # roots are taken of these, or they are counts


def check_optimizer(optimizer: dict) -> None:
    """UserError, naming the key, unless this is an optimiser's state: finite fp32 tensors, settings of plain types."""
    state, groups = optimizer.get("state"), optimizer.get("param_groups")
    if type(state) is not dict or type(groups) is not list or any(type(group) is not dict for group in groups):
        raise UserError("optimizer is not the state of an optimiser: state by number, param_groups as a list")
    numbers = [group.get("params") for group in groups]
    if any(type(group) is not list or any(type(number) is not int for number in group) for group in numbers):
        raise UserError("optimizer.param_groups.params are not lists of integers")
    if len(set(flat := [number for group in numbers for number in group])) < len(flat):
        raise UserError("optimizer.param_groups.params name one parameter twice")
    for group in groups:
        for name, value in group.items():
            text("optimizer.param_groups: a key", name)
            plain(f"optimizer.param_groups.{key(name)}", value)
    for number, entries in state.items():
        if type(number) is not int or type(entries) is not dict:
            raise UserError(f"optimizer.state.{key(number)} is not a dictionary under a parameter's number")
        for name, value in entries.items():
            where = f"optimizer.state.{key(number)}.{key(name)}"
            dense(where, value)
            if value.dtype != torch.float32 or not value.isfinite().all():
                raise UserError(f"{where} holds numbers that are not finite floating-point numbers (float32)")
            if name in ROOTED:
                not_below_zero(where, value)


def check_optimizer_fits(state: dict, optimizer: torch.optim.Optimizer) -> None:
    """UserError unless the state is that of an optimiser of the same kind over parameters of the same shapes.

    Settings are this run's own, but for the learning rates, which the schedule sets, and whether its step is fused.
    A state without entries is that of an optimiser that has made no step.
    """
    ours, theirs = optimizer.state_dict()["param_groups"], state["param_groups"]
    if [len(group["params"]) for group in theirs] != [len(group["params"]) for group in ours]:
        raise UserError("optimizer.param_groups are of another model or another optimiser")
    for our, their in zip(ours, theirs, strict=True):
        _check_settings(our, their)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for number in state["state"]:
        if not 0 <= number < len(params):
            raise UserError(f"optimizer.state entry {shown(number)} refers to a missing parameter")
    names = {"momentum_buffer"} if isinstance(optimizer, torch.optim.SGD) else {"step", "exp_avg", "exp_avg_sq"}
    for number, param in enumerate(params) if state["state"] else ():
        _check_moments(f"optimizer.state.{number}", state["state"].get(number, {}), names, param)


def _check_settings(ours: dict, theirs: dict) -> None:
    for name in sorted(ours.keys() ^ theirs.keys()):
        raise UserError(f"optimizer.param_groups {'lack' if name in ours else 'have'} {key(name)}: the state is of "
                        "another optimiser")
    for name, value in theirs.items():
        where = f"optimizer.param_groups.{name}"
        if name in ("lr", "initial_lr"):
            finite(where, value)
        elif name == "fused":
            if value not in (None, True, False):
                raise wrong(where, value, "true, false or None")
        elif not _equal(value, ours[name]):
            raise UserError(f"{where} is {shown(value)}, this run's optimiser has {shown(ours[name])}")


def _equal(one: object, other: object) -> bool:
    """Whether two settings are equal, and of equal types; a list for a tuple, 0 for 0.0."""
    kinds = {tuple: list, int: float}
    if kinds.get(type(one), type(one)) is not kinds.get(type(other), type(other)):
        return False
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def _check_moments(where: str, entries: dict, names: set[str], param: Tensor) -> None:
    for name in sorted(names - entries.keys()):
        raise UserError(f"{where}.{name} is missing")
    for name, value in entries.items():
        if name not in names:
            raise UserError(f"{where}.{key(name)} is unexpected; expected one of {', '.join(sorted(names))}: the "
                            "state is of another optimiser")
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            raise wrong(f"{where}.{name}", value, "a float32 tensor")
        if value.shape != (torch.Size() if name == "step" else param.shape):
            kind = "one number" if name == "step" else f"{tuple(param.shape)} as the parameter is"
            raise UserError(f"{where}.{name} is {tuple(value.shape)}, not {kind}")
