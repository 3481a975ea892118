
import pytest
import torch

from functions.training import schedules


def test_warmup_rises_in_a_straight_line_and_never_starts_at_zero():
    assert [schedules.warmup(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert schedules.warmup(0, 0) == 1


def test_cosine_is_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(21):
        assert schedules.cosine(step, 20) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("shape", [schedules.cosine, schedules.linear])
def test_decay_begins_at_one_where_warmup_ends_and_ends_at_zero(shape):
    factors = [shape(step, 50, 10) for step in range(51)]
    assert factors[9] == factors[10] == 1
    assert factors[50] == pytest.approx(0)
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert shape(30, 50, 10) == pytest.approx(0.5)
    assert shape(70, 50, 10) == pytest.approx(0), "past the end it stays down"


def test_linear_lr_is_torchs_own_default_stepped_once_an_epoch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.LinearLR(optimizer)
    for epoch in range(9):
        for batch in range(3):
            assert schedules.linear_lr(3 * epoch + batch, 3) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_a_runs_schedule_counts_steps():
    factor = schedules.make_schedule("cosine", epochs=4, steps_per_epoch=25, warmup_share=0.1)
    assert factor(9) == 1
    assert factor(4) == 0.5
    assert factor(100) == pytest.approx(0)
    constant = schedules.make_schedule("constant", epochs=4, steps_per_epoch=25, warmup_share=0)
    assert {constant(step) for step in range(100)} == {1.0}
    with pytest.raises(ValueError, match="step.*cosine"):
        schedules.make_schedule("step", 4, 25, 0.1)


def test_a_run_of_steps_is_scheduled_over_its_steps():
    """500 steps are 71 epochs of 7 and 3 steps of the 72nd."""
    factor = schedules.make_schedule("cosine", 72, 7, 0.1, steps=500)
    assert [factor(step) for step in range(500)] == [schedules.cosine(step, 500, 50) for step in range(500)]
    assert factor(0) == 1 / 50
