"""Runs from the weights of three sources: training, resuming, evaluation and prediction agree with the source."""

import numpy as np
import pandas as pd
import pytest
import torch

from data_setup.loading.transforms import image_reader
from functions.checkpointing.checkpoint import load_model
from models import VARIANTS
from tests.models.pretrained.test_common_files import FILES, TINY

CASES = {"`facebook/dinov2-base`": ("last:1", []), "`mae_finetuned_vit_base.pth`": ("head", []),
         "`openai/clip-vit-base-patch16`": ("all", ["--in_channels", "1"])}


@pytest.fixture
def call(call_script, monkeypatch):
    """Calls a script of this name; VARIANTS has a size that a test can afford."""
    monkeypatch.setitem(VARIANTS, "vit_b_14", TINY)

    def run(name, *arguments):
        code, _, err = call_script(__import__(name).main, *arguments)
        assert code == 0, err

    return run


def probabilities(file, names):
    """The rows of a table of predictions, by path."""
    return pd.read_csv(file).set_index("path").sort_index()[names].to_numpy()


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_evaluated_and_predicts_as_it_was_trained(name, call, slices, tmp_path):
    (train, more), run = CASES[name], tmp_path / "runs/tiny"
    torch.manual_seed(0)
    source, net = FILES[name](tmp_path / "weights")
    call("train_transferlearning", "--model", "vit_b_14", "--weights", source, "--image_size", 28, "--train", train,
         "--train_dir", slices / "train", "--test_dir", slices / "test", "--batch_size", 16, "--lr", 0.01, "--seed", 3,
         "--epochs", 2, "--stop_after", 1, "--name", "tiny", *more)
    call("train_transferlearning", "--resume", run)
    call("evaluate", run)
    tested = pd.read_csv(run / "predictions.csv")["path"].tolist()
    call("predict", run, *tested, "--out", "predicted.csv")

    model, checkpoint = load_model(run / "best.pt")
    names = checkpoint["class_names"]
    trained = probabilities(run / "predictions.csv", names)
    assert np.array_equal(trained, probabilities(run / "evaluation/predictions.csv", names))
    np.testing.assert_allclose(probabilities(tmp_path / "predicted.csv", names), trained, atol=1e-6)
    images = torch.stack([image_reader(checkpoint["preprocessing"])(path) for path in sorted(tested)])
    with torch.no_grad():
        features = net(images) if train == "head" else model.backbone(images)
        np.testing.assert_allclose(model.head(features).softmax(1), trained, atol=1e-5)
