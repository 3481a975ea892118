"""A run goes on after a pause, bit for bit as if nothing had happened; tests/survival/ is about kills and worse."""

import functools
import json
import os
import shutil
import signal
import time

import pandas as pd
import pytest
import torch
from filelock import FileLock

from functions.checkpointing.checkpoint import load_checkpoint
from tests.conftest import TINY
from tests.forkserver import finish, start
from tests.functions.training.tracking.test_trackers import assert_equal_to_table, read_events


def state_of(run):
    """All that a run decided: weights of the last and best epoch, curves, predictions."""
    last, best = load_checkpoint(run / "last.pt"), load_checkpoint(run / "best.pt")
    return last, best, (run / "predictions.csv").read_bytes(), pd.read_pickle(next(run.glob("*_losses.pkl")))


def assert_same(run, other):
    for ours, theirs in zip(state_of(run)[:2], state_of(other)[:2], strict=True):
        assert ours["epoch"] == theirs["epoch"]
        for name, value in ours["weights"].items():
            assert torch.equal(value, theirs["weights"][name]), name
        assert torch.equal(ours["rng"]["torch"], theirs["rng"]["torch"])
    assert state_of(run)[2:] == state_of(other)[2:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, slices):
    """Four epochs, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ended = finish(start(folder, "train", "--epochs", 4, "--train_dir", slices / "train", "--test_dir",
                         slices / "test", *TINY, "--seed", 3), folder)
    assert ended.code == 0, ended
    return folder / "runs" / "ViTModel"


def test_two_epochs_and_two_more_equal_four(call_train, arguments, tmp_path, whole):
    code, out, _ = call_train("--epochs", 4, "--stop_after", 2, *arguments)
    assert code == 0
    assert "paused after epoch 2" in out
    assert json.loads((tmp_path / "runs/ViTModel/run.json").read_text())["state"] == "paused"
    code, out, _ = call_train("--resume", "runs/ViTModel")
    assert code == 0
    assert "resuming after epoch 2" in out
    assert_same(tmp_path / "runs/ViTModel", whole)


def epochs_in_table(run):
    file = run / "results.csv"
    return len(file.read_text().splitlines()) - 1 if file.exists() else 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_exit_130(arguments, tmp_path, sent):
    handle = functools.partial(signal.signal, sent, signal.SIG_DFL)             # a CI may ignore SIGINT
    process = start(tmp_path, "train", "--epochs", 5000, *arguments, "--tensorboard", before=handle)
    run, deadline = tmp_path / "runs" / "ViTModel", time.monotonic() + 300
    while not ((run / "last.pt").exists() and epochs_in_table(run) > 1) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, sent)
    ended = finish(process, tmp_path)
    assert ended.code == 130
    assert "--resume runs/ViTModel" in ended.err
    assert "Traceback" not in ended.err
    assert json.loads((run / "run.json").read_text())["state"] == "interrupted"
    assert load_checkpoint(run / "last.pt")["epoch"] >= 1
    assert not list(run.glob(".*")), "no half-written files"
    scalars, _ = read_events(run)
    table = pd.read_csv(run / "results.csv")
    whole = min(map(len, scalars.values()))
    assert_equal_to_table({name: values[:whole] for name, values in scalars.items()}, table[:whole])
    assert max(map(len, scalars.values())) - whole <= 1, "it may be interrupted between two scalars of an epoch"
    assert len(table) - whole <= 1, "it may be interrupted between the two"


def test_slices_read_from_disk_go_on_bit_for_bit_too(call_train, arguments, tmp_path, whole, monkeypatch):
    """Where slices do not fit in memory; with another number of workers after the pause, and the same as in memory."""
    monkeypatch.setattr("data_setup.loading.dataloaders.fits_in_memory", lambda num_bytes: False)
    call_train("--epochs", 4, "--stop_after", 2, "--num_workers", 1, *arguments)
    code, out, _ = call_train("--resume", "runs/ViTModel", "--num_workers", 0)
    assert code == 0
    assert "on disk" in out
    assert_same(tmp_path / "runs/ViTModel", whole)


def test_a_run_that_another_process_trains_is_left_untouched(call_train, paused_run):
    run = paused_run
    other = FileLock(run / "process.lock")
    other.acquire()
    (run / "process.pid").write_text("4321")
    (run / ".last.pt.1.part").write_bytes(b"what the other process is writing just now")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, _, err = call_train("--resume", "runs/ViTModel")
    assert code == 2
    assert "being trained by process 4321" in err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_longer_run_stays_longer_whatever_interrupts_it(call_train, short_run):
    call_train("--resume", "runs/ViTModel", "--epochs", 3, "--stop_after", 2)
    record = json.loads((short_run / "run.json").read_text())
    assert (record["settings"]["epochs"], record["settings"]["split"], len(record["commands"])) == (3, "auto", 1)
    assert call_train("--resume", "runs/ViTModel")[0] == 0
    assert load_checkpoint(short_run / "last.pt")["epoch"] == 3


def test_damaged_or_lost_checkpoints_are_refused_before_anything_is_trained(call_train, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "runs" / "ViTModel")
    checkpoint = load_checkpoint(run / "last.pt")
    for path in run.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:1000])
    code, _, err = call_train("--resume", "runs/ViTModel", "--epochs", 4)
    assert code == 2
    assert "last.pt is damaged" in err
    assert "previous.pt is damaged" in err
    for path in run.glob("*.pt"):
        path.unlink()
    code, _, err = call_train("--resume", "runs/ViTModel")
    assert code == 2
    assert "last.pt: no such file" in err
    torch.save(checkpoint | {"config": checkpoint["config"] | {"norm_eps": 1e-3}}, run / "last.pt")
    code, _, err = call_train("--resume", "runs/ViTModel")
    assert code == 2
    assert "of another model" in err


def test_a_finished_run_can_be_made_longer(call_train, arguments, tmp_path):
    call_train("--epochs", 2, "--schedule", "constant", "--warmup_share", 0, *arguments)
    code, _, _ = call_train("--resume", "runs/ViTModel", "--epochs", 4)
    assert code == 0
    call_train("--epochs", 4, "--schedule", "constant", "--warmup_share", 0, "--name", "whole", *arguments)
    longer, whole = (load_checkpoint(tmp_path / "runs" / name / "last.pt")["weights"] for name in ("ViTModel", "whole"))
    assert all(torch.equal(longer[name], value) for name, value in whole.items()), "with a constant rate: the same run"


def test_images_that_changed_since_are_refused(call_train, arguments, slices, tmp_path):
    from PIL import Image

    copy = tmp_path / "copy"
    shutil.copytree(slices, copy)
    folders = ["--train_dir", copy / "train", "--test_dir", copy / "test"]
    call_train("--epochs", 2, "--stop_after", 1, *arguments, *folders)
    Image.new("L", (12, 16), 9).save(sorted((copy / "train" / "AD").glob("*.png"))[0])
    code, _, err = call_train("--resume", "runs/ViTModel")
    assert code == 2
    assert "the images are not those" in err


def test_settings_cannot_change_on_the_way(call_train, paused_run):
    code, _, err = call_train("--resume", "runs/ViTModel", "--lr", "0.1")
    assert code == 2
    assert "--lr cannot be changed on resume" in err


def test_an_interrupt_that_python_drops_while_results_are_written_is_not_lost(call_train, arguments, tmp_path,
                                                                              monkeypatch):
    """In a destructor Python drops the exception; the run ends after its results, and --resume writes them again."""
    class Interrupted:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)

    with monkeypatch.context() as patch:
        patch.setattr("functions.training.training_run.write_report", lambda folder: Interrupted() and None)
        code, _, err = call_train("--epochs", 1, *arguments)
    assert (code, err.strip().count("\n")) == (130, 0), err
    assert "--resume runs/ViTModel" in err
    assert json.loads((tmp_path / "runs/ViTModel/run.json").read_text())["state"] == "interrupted"
    code, _, err = call_train("--resume", "runs/ViTModel")
    assert (code, err) == (0, "")
