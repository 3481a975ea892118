import json

import torch

from functions.training.tracking.profiling import SKIPPED, step_profiler

CPU = torch.device("cpu")


def work(profiler, steps):
    for _ in range(steps):
        torch.randn(40, 40) @ torch.randn(40, 40)
        profiler()


def test_a_trace_and_the_costliest_operations(tmp_path, capsys):
    with step_profiler(2, tmp_path, CPU) as profiler:
        work(profiler, SKIPPED + 6)
    table, trace = (tmp_path / "profile.txt").read_text(), json.loads((tmp_path / "profile_trace.json").read_text())
    assert "aten::mm" in table
    assert table in capsys.readouterr().out
    products = [event for event in trace["traceEvents"] if event.get("name") == "aten::mm"]
    assert len(products) == 2, "those of two steps"


def test_too_short_a_run_is_said(tmp_path, capsys):
    with step_profiler(2, tmp_path, CPU) as profiler:
        work(profiler, SKIPPED - 1)
    assert "nothing recorded" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_nothing_is_recorded_unless_asked(tmp_path):
    with step_profiler(None, tmp_path, CPU) as profiler:
        assert profiler is None
