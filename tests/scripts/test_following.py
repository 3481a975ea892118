"""Runs with every regularisation on, paused and resumed, and followed by both trackers."""

import functools
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint, load_model
from models import VARIANTS
from models.config import ViTConfig
from tests.functions.training.tracking.test_trackers import Wandb, assert_equal_to_table, read_events
from tests.scripts.test_resume import assert_same

ALL = ["--drop_path", 0.3, "--mixup", 0.4, "--cutmix", 1, "--ema", 0.9, "--label_smoothing", 0.1]
SIZES = {"patch_size": 4, "num_layers": 2, "embedding_dim": 12, "num_heads": 3, "mlp_size": 20}


def assert_resumed(call, given, run, whole):
    """One epoch and one more are two, to the last bit; followed from the second on only, the log has the first, too."""
    for arguments in ([*given, "--epochs", 2, "--name", whole.name],
                      [*given, "--epochs", 2, "--name", run.name, "--stop_after", 1],
                      ["--resume", run, "--tensorboard"]):
        code, _, err = call(*arguments)
        assert (code, err) == (0, "")
    assert_same(run, whole)
    ours, theirs = (load_checkpoint(folder / "last.pt") for folder in (run, whole))
    assert ours["unaveraged"]["updates"] == theirs["unaveraged"]["updates"] == theirs["schedule"]["step"]
    for name, value in theirs["unaveraged"]["weights"].items():
        assert torch.equal(ours["unaveraged"]["weights"][name], value)
        assert not torch.equal(theirs["weights"][name], value), "the average is not the weights"
    scalars, text = read_events(run)
    assert_equal_to_table(scalars, pd.read_csv(run / "results.csv"))
    return theirs, json.loads(text.strip("`\n"))["settings"]


def test_a_run_with_everything_on_is_resumed_bit_for_bit(call_train, arguments, tmp_path):
    given = [*arguments, *ALL, "--dropout", 0.1]
    last, settings = assert_resumed(call_train, given, tmp_path / "runs/parts", tmp_path / "runs/whole")
    assert [settings[name] for name in ("drop_path", "mixup", "cutmix", "ema")] == [0.3, 0.4, 1.0, 0.9]
    assert last["config"]["drop_path"] == 0.3
    assert last["unaveraged"]["weights"].keys() == last["weights"].keys()
    model, checkpoint = load_model(tmp_path / "runs/whole/best.pt")
    predictions = pd.read_csv(tmp_path / "runs/whole/predictions.csv")
    from data_setup.loading.transforms import image_reader

    read = image_reader(checkpoint["preprocessing"])
    with torch.no_grad():
        ours = model(torch.stack([read(path) for path in predictions["path"]])).softmax(1)
    np.testing.assert_allclose(predictions[checkpoint["class_names"]], ours, atol=1e-5)


@pytest.fixture
def call_transfer(call_script, monkeypatch):
    import train_transferlearning

    monkeypatch.setitem(VARIANTS, "vit_b_16", ViTConfig(**SIZES))
    return functools.partial(call_script, train_transferlearning.main)


@pytest.mark.parametrize("flags", [["--train", "last:1", *ALL], ["--train", "head", "--ema", 0.9]],
                         ids=["last:1, everything on", "cached features, --ema"])
def test_fine_tuning_is_resumed_bit_for_bit(call_transfer, arguments, tmp_path, flags):
    given = [*arguments[:4], "--weights", "random", "--image_size", 16, "--batch_size", 16, "--lr", 0.01, *flags]
    last, _ = assert_resumed(call_transfer, given, tmp_path / "runs/parts", tmp_path / "runs/whole")
    assert set(last["unaveraged"]["weights"]) == set(last["weights"]), "frozen weights are in neither"
    assert (tmp_path / "runs/whole/frozen.pt").is_file()


def test_a_tracker_changes_no_number_and_one_that_fails_is_survived(call_train, arguments, tmp_path, monkeypatch,
                                                                    finished):
    fake = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert call_train("--epochs", 3, *arguments, "--name", "followed", "--tensorboard", "--wandb")[0] == 0
    assert_same(tmp_path / "runs/followed", finished)
    table = pd.read_csv(tmp_path / "runs/followed/results.csv")
    assert_equal_to_table(read_events(tmp_path / "runs/followed")[0], table)
    record = json.loads((tmp_path / "runs/followed/run.json").read_text())
    rows = fake.steps[record["run_id"]]
    pd.testing.assert_frame_equal(pd.DataFrame(rows.values()), table)
    assert fake.started[0]["config"] == record["settings"]

    fake.failing = "log"
    code, out, err = call_train("--resume", "runs/followed", "--epochs", 5, "--stop_after", 4)
    assert (code, err, out.count("--wandb is switched off")) == (0, "", 1)
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, err = call_train("--epochs", 1, *arguments, "--wandb", "--name", "missing")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install wandb" in err
    assert not (tmp_path / "runs/missing").exists(), "before anything is read or trained"
