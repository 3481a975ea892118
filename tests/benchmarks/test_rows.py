import sys
from dataclasses import replace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.jobs import Waited
from benchmarks.steps import measure_training
from models import VARIANTS


@pytest.fixture
def benchmarks(tmp_path, monkeypatch):
    """Runs `python -m benchmarks --quick` in this process: {row: its Markdown}."""
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "--out", str(tmp_path / "out"), *arguments])
        command.main()
        return {file.stem: file.read_text() for file in (tmp_path / "out").glob("*.md")}

    return run


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_every_row_runs_and_says_with_what(benchmarks, tmp_path, monkeypatch):
    """With two narrow blocks in place of twelve: what a row takes is no matter here."""
    small = replace(VARIANTS["vit_ti_16"], num_layers=2, embedding_dim=48, mlp_size=64)
    monkeypatch.setitem(VARIANTS, "vit_ti_16", small)
    benchmarks("memory", "--model", "vit_ti_16", "--image_size", "32")      # in a process of its own, so not narrow
    tables = benchmarks(*(row for row in command.ROWS if row != "memory"))
    assert set(tables) == set(command.ROWS)
    for text in tables.values():
        for fact in ("python -m benchmarks --quick", "commit", "torch ", "timm ", "transformers ", "threads", "round"):
            assert fact in text
    assert [row[4].split(" ")[0] for row in cells(tables["step"])[2:]] == ["ours", "torchvision", "timm",
                                                                         "transformers"] * 2
    assert len(cells(tables["gpu"])) == 2 + 4
    assert [row[3] for row in cells(tables["job"])[2:]] == ["the replicated loop", "ours, fp32"]
    assert [row[3] for row in cells(tables["frozen"])[2:]] == ["the replicated loop", "ours"]
    assert [row[2] for row in cells(tables["saving"])[2:]] == ["no checkpoints", "written in the loop",
                                                               "written by a thread", "by a thread and by the clock"]
    assert [row[-1] for row in cells(tables["memory"])[2:]] == ["yes"]
    assert "24" in [row[0] for row in cells(tables["growth"])]
    assert (tmp_path / "out" / "growth.png").stat().st_size > 5000


def test_a_row_that_does_not_exist_is_refused(benchmarks, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmarks("stpe")
    assert 'no row "stpe": it is one of step, gpu' in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        benchmarks("step", "--model", "small")
    assert 'no model "small": it is one of vit_ti_16' in capsys.readouterr().err


def test_what_does_not_fit_is_said_and_the_others_are_timed(monkeypatch):
    """A party that runs out of memory must neither end the run nor stand in the table with a time."""
    from argparse import Namespace

    from benchmarks import steps
    from benchmarks.jobs import SMALL

    class TooLarge(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(steps.PEERS, "timm", TooLarge)
    options = Namespace(party=["ours", "timm"], rounds=2, device=torch.device("cpu"))
    seconds, memory = measure_training(SMALL, "fp32", False, 2, 1, options)
    assert list(seconds) == ["ours"]
    assert memory["timm"] == 0


def test_waiting_for_batches_is_counted_and_working_on_them_is_not(monkeypatch):
    import time

    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def slow():
        for batch in "ab":
            now[0] += 3
            yield batch

    waited = Waited(slow())
    for _ in waited:
        now[0] += 5
    assert (waited.seconds, waited.total) == (6, 16)
