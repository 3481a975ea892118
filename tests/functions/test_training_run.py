"""Which epoch is kept and scored. Whole runs are tested in tests/scripts/, interruptions in tests/survival/."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from functions.optimizers import make_optimizer
from functions.run_folder import create_run
from functions.sums import EpochScores
from functions.training_run import TrainingRun
from models import ViT, ViTConfig

CLASSES = ["AD", "CN"]
PATIENTS = np.array(["a", "b", "c", "d"])
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.fixture
def run(tmp_path):
    """A run of a tiny model on four validation patients, one slice each."""
    preprocessing = {"channels": 1, "mean": [0.3], "std": [0.2], "image_size": [4, 4]}
    facts = {"class_names": CLASSES, "preprocessing": preprocessing, "stamps": [],
             "split_hash": "s", "fingerprint": "f"}
    split = pd.DataFrame({"path": list("abcd"), "class": [CLASSES[k] for k in LABELS], "subject": PATIENTS,
                          "split": "test"})
    folder = create_run("run", facts | {"settings": {}, "state": "created"}, split, tmp_path)
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
