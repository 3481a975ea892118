"""Both scripts as torchrun starts them, two processes over Gloo."""

import functools
import json
import os
import shutil
import socket

import pandas as pd
import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint
from tests.conftest import ROOT
from tests.forkserver import finish, start

EVEN = ["--no_augment", "--dropout", "0"]         # what is drawn at random is drawn by each process for itself
DRAWN = ["--drop_path", 0.2, "--mixup", 0.5, "--cutmix", 0.5]
# Process 1 is killed at its ninth optimiser step.
DIES = """
import os, signal, sys, torch
sys.path.insert(0, {root!r})
step, count = torch.optim.AdamW.step, [0]
def counted(self, *arguments, **options):
    count[0] += 1
    if os.environ["RANK"] == "1" and count[0] == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments, **options)
torch.optim.AdamW.step = counted
import train
sys.argv[0] = "train.py"
train.main()
"""


@pytest.fixture(scope="module", autouse=True)
def dying(tmp_path_factory, arguments):
    """(torchrun's process, its folder): one of its two processes dies. Started before the other tests, for it mostly
    waits.
    """
    folder = tmp_path_factory.mktemp("dying")
    script = folder / "dies.py"
    script.write_text(DIES.format(root=str(ROOT)))
    given = ["--standalone", "--nproc_per_node=2", script, "--epochs", 9, *arguments, *DRAWN]
    return start(folder, "torch.distributed.run", *given), folder


def set_rank(rank, port):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                      MASTER_ADDR="localhost", MASTER_PORT=str(port))


@pytest.fixture
def run_two(tmp_path):
    """Two processes with the environment that torchrun gives them, without its start-up: (code, out, err) of each."""
    def run(script, *arguments):
        with socket.create_server(("localhost", 0)) as server:
            port = server.getsockname()[1]
        processes = [start(tmp_path, script, *arguments, name=f"{rank}-", before=functools.partial(
            set_rank, rank, port)) for rank in (0, 1)]
        return [finish(process, tmp_path, name=f"{rank}-") for rank, process in enumerate(processes)]

    return run


def test_begun_by_two_and_finished_by_one_equals_one_process(run_two, call_train, arguments, tmp_path):
    """Batches of 8 in each of two processes, weights and their average spread over both, are batches of 16 in one."""
    first, second = run_two("train", "--epochs", 4, "--stop_after", 2, *arguments, "--batch_size", 8, *EVEN,
                            "--shard", "--checkpoint_activations", "--ema", 0.9, "--name", "together")
    assert (first.code, second.code) == (0, 0), (first, second)
    assert "paused after epoch 2" in first.out
    assert ", 2 processes" in first.out
    assert second.out == "", "one process prints"
    code, out, err = call_train("--resume", "runs/together")
    assert (code, err.count("\n")) == (2, 1)
    assert "--no_shard" in err
    code, out, err = call_train("--resume", "runs/together", "--no_shard", "--no_checkpoint_activations")
    assert code == 0, err
    assert "accumulation=2" in out, "as many images a step as before"
    call_train("--epochs", 4, *arguments, *EVEN, "--ema", 0.9, "--name", "alone")
    ours, theirs = (load_checkpoint(tmp_path / "runs" / name / "last.pt") for name in ("together", "alone"))
    assert ours["epoch"] == theirs["epoch"] == 4
    for name, value in theirs["weights"].items():
        torch.testing.assert_close(ours["weights"][name], value, rtol=0, atol=1e-4, msg=name)
    for name, value in theirs["unaveraged"]["weights"].items():
        torch.testing.assert_close(ours["unaveraged"]["weights"][name], value, rtol=0, atol=1e-4, msg=name)
    assert ours["unaveraged"]["updates"] == theirs["unaveraged"]["updates"] == theirs["schedule"]["step"]
    assert ours["history"]["val_loss"] == pytest.approx(theirs["history"]["val_loss"], abs=1e-4)
    assert ours["history"]["test_acc"] == pytest.approx(theirs["history"]["test_acc"])
    ours, theirs = (pd.read_csv(tmp_path / "runs" / name / "predictions.csv") for name in ("together", "alone"))
    assert ours["path"].tolist() == theirs["path"].tolist(), "every test slice once, in order"


def test_frozen_features_are_computed_in_shares_and_come_out_the_same(run_two, call_script, slices, tmp_path):
    import train_transferlearning

    given = ["--model", "resnet18", "--weights", "random", "--image_size", "32x32", "--train_dir", slices / "train",
             "--test_dir", slices / "test", "--epochs", 2, "--seed", 3, "--optimizer", "sgd"]
    ended = run_two("train_transferlearning", *given, "--batch_size", 8, "--name", "together")
    assert [each.code for each in ended] == [0, 0], ended
    code, out, err = call_script(train_transferlearning.main, *given, "--batch_size", 16, "--name", "alone")
    assert code == 0, err
    assert "features 0 of" in out, "known from the run before, to the last image"
    ours, theirs = (pd.read_csv(tmp_path / "runs" / name / "predictions.csv") for name in ("together", "alone"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=0, atol=1e-5)


def test_a_process_that_dies_ends_the_run_with_a_line_and_a_checkpoint(dying, run_two, tmp_path):
    done = finish(*dying)
    assert done.code != 0
    lines = [line for line in done.err.splitlines() if line.startswith(("error: ", "interrupted: "))]
    assert len(lines) == 1, done.err
    lost = "another process of this run has died" in lines[0]       # on a slow machine torchrun's SIGTERM comes first
    assert lost or lines[0].startswith("interrupted: ")
    assert "--resume runs/ViTModel" in lines[0]
    shutil.move(dying[1] / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / "ViTModel"
    assert json.loads((run / "run.json").read_text())["state"] == ("failed" if lost else "interrupted")
    assert load_checkpoint(run / "last.pt")["epoch"] == load_checkpoint(run / "best.pt")["epoch"] >= 1
    for checkpoint in run.glob("*.pt"):             # and what only process 0 finds out ends the others with a line, too
        checkpoint.write_bytes(b"damaged")
    ended = run_two("train", "--resume", "runs/ViTModel")
    lines = sorted(line for each in ended for line in each.err.splitlines() if "error: " in line)
    assert [line.partition(": ")[0] for line in lines] == ["error", "process 1"], ended
    assert "last.pt is damaged" in lines[0]
    assert "another process of this run has died" in lines[1]
