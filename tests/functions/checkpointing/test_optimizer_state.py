import pytest
import torch

from functions.checkpointing.optimizer_state import check_optimizer, check_optimizer_fits
from functions.runtime.errors import UserError
from functions.runtime.sharding import full_state, load_optimizer
from functions.training.optimisation import make_optimizer
from models import ViT
from tests.functions.plain import CONFIG, hostile_pairs, places, refusal, with_value

KINDS = ("adamw", "adam", "sgd")


def stepped(kind, steps=1):
    """An optimiser after some steps of a tiny network, with a schedule, whose state a checkpoint would hold."""
    torch.manual_seed(0)
    model = ViT(CONFIG)
    optimizer = make_optimizer(model, kind, 1e-2, 0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    for _ in range(steps):
        model(torch.randn(2, 1, 8, 12)).sum().backward()
        optimizer.step()
    return optimizer


def check(state, optimizer):
    check_optimizer(state)
    check_optimizer_fits(state, optimizer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 1])
def test_the_state_of_an_equal_optimiser_fits_whatever_its_learning_rate_and_fused(kind, steps):
    state = full_state(stepped(kind, steps).state_dict())                    # tuples are lists, as in a checkpoint
    for group in state["param_groups"]:
        group |= {"lr": 0.5, "initial_lr": 0.7, "fused": None}
    check(state, stepped(kind, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [torch.tensor(0.5), torch.ones(1), torch.ones(2, 2, 2), None, 3, ..., "x",
                                   torch.ones(12).double(), torch.ones(12).half()], ids=str)
def test_every_moment_has_its_parameters_shape_and_type_exactly(kind, value):
    """A fused step takes all by the parameter's size: a single number in a moment's place would damage memory."""
    optimizer = stepped(kind)
    state = optimizer.state_dict()
    moments = {"momentum_buffer"} if kind == "sgd" else {"exp_avg", "exp_avg_sq"}
    for number in (0, len(state["state"]) - 1):
        for name in moments:
            with pytest.raises(UserError, match=rf"optimizer\.state\.{number}\.{name} "):
                check(with_value(state, ("state", number, name), value), optimizer)


@pytest.mark.parametrize("value", [torch.ones(12), torch.ones(1), torch.tensor(1), None, 3.0, ..., 10**30], ids=str)
def test_a_step_is_one_fp32_number(value):
    optimizer = stepped("adamw")
    with pytest.raises(UserError, match=r"optimizer\.state\.0\.step "):
        check(with_value(optimizer.state_dict(), ("state", 0, "step"), value), optimizer)


@pytest.mark.parametrize(("path", "value", "complaint"), [
    (("state", 0, "max_exp_avg_sq"), torch.ones(1), "max_exp_avg_sq is unexpected; expected one of exp_avg"),
    (("state", 0), ..., "state.0.exp_avg is missing"), (("state", 999), {}, "entry 999 refers to a missing parameter"),
    (("param_groups",), [], "param_groups are of another"), (("param_groups", 0, "eps"), ..., "param_groups lack eps"),
    (("param_groups", 0, "more"), 1, "param_groups have more"), (("param_groups", 0, "betas"), "x", "betas is 'x'"),
    (("param_groups", 0, "betas"), (), "betas"), (("param_groups", 0, "eps"), "x", "eps"),
    (("param_groups", 0, "weight_decay"), {}, "weight_decay"),
    *((("param_groups", 0, name), True, f"{name} is True") for name in ("amsgrad", "differentiable", "maximize")),
    (("param_groups", 0, "maximize"), 0, "maximize"), (("param_groups", 0, "lr"), "x", "lr"),
    (("param_groups", 0, "params", 0), 5, "params"), (("param_groups", 0, "fused"), 2, "fused"),
])
def test_settings_and_numbers_are_the_running_optimisers_own(path, value, complaint):
    optimizer = stepped("adamw")
    with pytest.raises(UserError, match=complaint):
        check(with_value(full_state(optimizer.state_dict()), path, value), optimizer)


def test_another_optimisers_state_does_not_fit():
    for one, other in (("adamw", "sgd"), ("sgd", "adam")):
        with pytest.raises(UserError, match=r"optimizer\.param_groups"):
            check(stepped(one).state_dict(), stepped(other))


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_with_any_value_is_a_line_or_makes_a_step(kind):
    optimizer = stepped(kind)
    state = full_state(optimizer.state_dict())
    other = stepped(kind, 0)
    paths = [path for path in places(state) if path[0] != "state" or len(path) < 2 or path[1] in (0, 3)]
    refused = [refusal(lambda path=path, value=value: go_on(with_value(state, path, value), other))
               for path, value in hostile_pairs(paths)]
    assert sum(map(bool, refused)) > len(refused) / 2


def go_on(state, optimizer):
    """A step after the state was loaded."""
    check(state, optimizer)
    load_optimizer(optimizer, state)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    optimizer.step()
