"""Which epoch is kept and scored. Whole runs are tested in tests/scripts/, interruptions in tests/survival/."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from functions.checkpointing.run_folder import create_run
from functions.epoch_metrics import EpochScores
from functions.runtime.errors import UserError
from functions.training.averaging import WeightAverage
from functions.training.optimisation import make_optimizer
from functions.training.training_run import TrainingRun
from models import ViT, ViTConfig

CLASSES = ["AD", "CN"]
PATIENTS = np.array(["a", "b", "c", "d"])
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.fixture
def run(tmp_path):
    return new_run(tmp_path)


def new_run(root):
    """A run of a tiny model on four validation patients, one slice each."""
    preprocessing = {"channels": 1, "mean": [0.3], "std": [0.2], "image_size": [4, 4]}
    facts = {"class_names": CLASSES, "preprocessing": preprocessing, "stamps": [],
             "split_hash": "s", "fingerprint": "f"}
    split = pd.DataFrame({"path": list("abcd"), "class": [CLASSES[k] for k in LABELS], "subject": PATIENTS,
                          "split": "test"})
    folder = create_run("run", facts | {"settings": {}, "state": "created"}, split, root)
    model = ViT(ViTConfig(image_size=4, patch_size=4, in_channels=1, num_layers=1, embedding_dim=4, num_heads=2,
                          mlp_size=6, num_classes=2))
    optimizer = make_optimizer(model, "adamw", 1e-3, 0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    return TrainingRun(folder, model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False), facts, PATIENTS,
                       available_memory=lambda: 2**40)


def scores(losses):
    """An epoch whose validation patients have these losses."""
    right = torch.exp(-torch.tensor(losses, dtype=torch.float64))
    probabilities = torch.stack([torch.where(k == LABELS, right, 1 - right) for k in range(2)], dim=1)
    return EpochScores(float(np.mean(losses)), 0.5, 0.5, torch.eye(2, dtype=torch.long), 1.0,
                       probabilities=probabilities, labels=LABELS)


def train(run, epochs):
    """Saves an epoch for each list of validation losses; the weights of epoch e are all e."""
    history = {f"{split}_{what}": [] for split in ("train", "val", "test") for what in ("loss", "acc")}
    for epoch, losses in enumerate(epochs, 1):
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.fill_(epoch)
        for values in history.values():
            values.append(0.5)
        one = scores(losses)
        run.save_epoch(epoch, {"train": one, "val": one, "test": one}, history, 1e-3)
        run.writer.wait()           # otherwise an epoch is skipped if the thread has not yet begun with it


def test_the_best_epoch_is_scored_and_not_the_last(run):
    train(run, [[0.9] * 4, [0.4] * 4, [0.8] * 4])
    assert run.best["epoch"] == 2
    scored_with = []

    def score_test(precision):
        assert precision == "fp32"
        scored_with.append(run.model.classifier.bias.unique().tolist())
        return scores([0.3] * 4)

    run.conclude(score_test, list("abcd"), PATIENTS.tolist(), "CN")
    assert scored_with == [[2.0]], "the weights of epoch 2"
    assert json.loads((run.folder / "metrics.json").read_text())["best_epoch"] == 2


def test_small_rises_do_not_add_up(run):
    """Each epoch is within one standard error of the one before it; from epoch 3 on all are clearly above the first."""
    first, wobble = np.array([0.5, 0.9, 0.6, 1.0]), np.array([0.1, -0.1, 0.1, -0.1])
    epochs = [(first + 0.05 * k + wobble * (-1) ** k).tolist() for k in range(6)]
    train(run, epochs)
    assert run.best["epoch"] == 2


def test_a_lower_epoch_lowers_the_bar(run):
    """Epoch 3 is better than epoch 1 and clearly worse than epoch 2, which is the lowest."""
    train(run, [[1.0, 1.2, 1.1, 0.9], [0.5, 0.7, 0.6, 0.4], [0.8, 1.0, 0.95, 0.7]])
    assert run.best["epoch"] == 2


def test_a_checkpoint_of_another_run_of_equal_sizes_is_not_gone_on_from(run, tmp_path, capsys):
    """The own epoch before it is used instead, and said; where no own checkpoint is left the line says what to do."""
    other = new_run(tmp_path)
    for its in (run, other):
        train(its, [[0.9] * 4, [0.4] * 4])
    shutil.copy(other.folder / "last.pt", tmp_path / "theirs.pt")
    (run.folder / "last.pt").unlink()
    shutil.copy(tmp_path / "theirs.pt", run.folder / "last.pt")
    assert run.resume() == 1, "previous.pt"
    assert "last.pt was written by another run" in capsys.readouterr().out
    for file in run.folder.glob("*.pt"):
        file.unlink()
        shutil.copy(tmp_path / "theirs.pt", file)
    with pytest.raises(UserError, match=r"last\.pt was written by another run than .*run\.json.*restore a copy"):
        run.resume()


def test_a_checkpoint_that_does_not_fit_the_settings_is_named(run):
    train(run, [[0.9] * 4])
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(UserError, match=r"^checkpoint .*last\.pt: optimizer.*restore this run's own checkpoint"):
        run.resume()


@pytest.mark.parametrize(("saved", "complaint"), [
    (0.9, "its weights are averages (--ema), but the run's setting ema is 0"),
    (0.0, "its weights are no averages, but the run's setting ema asks for them")])
def test_a_checkpoint_with_averages_and_a_setting_without_do_not_belong_together(run, saved, complaint):
    run.average = WeightAverage(run.model, saved) if saved else None
    train(run, [[0.9] * 4])
    run.average = None if saved else WeightAverage(run.model, 0.9)
    with pytest.raises(UserError, match=re.escape(f"last.pt: {complaint}")):
        run.resume()


def test_the_lowest_losses_are_one_for_each_validation_patient(run):
    train(run, [[0.9] * 4])
    checkpoint = torch.load(run.folder / "last.pt", weights_only=True)
    checkpoint["best"]["lowest"] *= 2
    torch.save(checkpoint, run.folder / "last.pt")
    with pytest.raises(UserError, match=r"last\.pt: best\.lowest holds 8 losses, there are 4 validation patients"):
        run.resume()


def test_runs_of_before_run_ids_go_on(run):
    """Neither their run.json nor their checkpoints name the run."""
    record = json.loads((run.folder / "run.json").read_text())
    del record["run_id"]
    (run.folder / "run.json").write_text(json.dumps(record))
    run.run_id = ""
    train(run, [[0.9] * 4])
    checkpoint = torch.load(run.folder / "last.pt", weights_only=True)
    del checkpoint["run_id"]
    torch.save(checkpoint, run.folder / "last.pt")
    assert run.resume() == 1
