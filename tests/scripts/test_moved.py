"""A run whose folder was renamed, and whose data were moved, goes on and is evaluated as if nothing had happened."""

import functools
import json
import shutil

import pandas as pd
import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint
from tests.conftest import TINY


@pytest.fixture
def call_evaluate(call_script):
    import evaluate

    return functools.partial(call_script, evaluate.main)


def test_a_renamed_run_on_moved_data_goes_on_bit_for_bit(call_train, call_evaluate, slices, tmp_path):
    shutil.copytree(slices, tmp_path / "old")
    flags = ["--epochs", 2, "--train_dir", "old/train", "--test_dir", "old/test", *TINY, "--seed", 3]
    call_train(*flags, "--name", "whole")
    call_train(*flags, "--stop_after", 1)
    run = tmp_path / "runs" / "other name"
    (tmp_path / "runs" / "ViTModel").rename(run)
    (tmp_path / "new").mkdir()
    for before, after in (("train", "Trainingsdaten"), ("test", "Rest")):
        (tmp_path / "old" / before).rename(tmp_path / "new" / after)

    code, _, err = call_train("--resume", run)
    assert (code, err.count("\n")) == (2, 1)
    assert "give their new folder: --train_dir DIR" in err
    moved = ["--train_dir", "new/Trainingsdaten", "--test_dir", "new/Rest"]
    code, _, err = call_train("--resume", run, *moved, "--precision", "fp32", "--device", "cpu", "--num_workers", 0)
    assert (code, err) == (0, "")

    assert [path.name for path in run.glob("*.pkl")] == ["ViTModel_losses.pkl"]
    assert len(pd.read_pickle(run / "ViTModel_losses.pkl")["val_loss"]) == 2
    ours, theirs = (load_checkpoint(folder / "last.pt") for folder in (run, tmp_path / "runs" / "whole"))
    assert all(torch.equal(value, theirs["weights"][name]) for name, value in ours["weights"].items())
    split = pd.read_csv(run / "split.csv")
    assert all((tmp_path / path).is_file() for path in split["path"])
    record = json.loads((run / "run.json").read_text())
    assert (record["settings"]["train_dir"], record["settings"]["precision"]) == ("new/Trainingsdaten", "fp32")
    assert call_evaluate(run)[0] == 0

    (tmp_path / "new").rename(tmp_path / "newer")
    code, _, err = call_evaluate(run)
    assert (code, err.count("\n")) == (2, 1)
    assert f"--train_dir DIR (was {tmp_path}/new/Trainingsdaten) --test_dir DIR (was {tmp_path}/new/Rest)" in err
    moved = ["--train_dir", "newer/Trainingsdaten", "--test_dir", "newer/Rest"]
    code, out, err = call_evaluate(run, *moved, "--device", "cpu")
    assert (code, err) == (0, "")
    assert "nearest pixel neighbour" in out, "train slices are found, too"
    assert "only valid for a run folder" in call_evaluate(run / "best.pt", *moved)[2]


def test_a_kill_while_the_split_is_written_anew_loses_nothing(call_train, paused_run, slices, tmp_path, monkeypatch):
    shutil.copytree(slices, tmp_path / "copy")
    moved = ["--train_dir", "copy/train", "--test_dir", "copy/test"]
    real, run = [], paused_run
    before = (run / "split.csv").read_bytes()

    from functions.training import training_run

    def killed(*changes, **more):
        real.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "update_record", killed)
        assert call_train("--resume", run, *moved)[0] == 130
    assert (run / "split.csv").read_bytes() != before
    code, _, err = call_train("--resume", run, *moved, "--stop_after", 1)
    assert (code, err) == (0, "")
    (run / "split.csv").write_bytes(before)
    assert "split.csv is damaged or was changed" in call_train("--resume", run)[2]


def test_the_precision_that_was_asked_for_is_kept_and_the_sizes_are_the_models_own(call_train, slices, tmp_path):
    code, out, _ = call_train("--epochs", 1, "--model", "vit_ti_16", "--recipe", make_recipe(tmp_path), "--image_size",
                              16, "--train_dir", slices / "train", "--test_dir", slices / "test")
    assert code == 0
    record = json.loads((tmp_path / "runs/ViTModel/run.json").read_text())
    assert (record["settings"]["precision"], record["precision"], record["settings"]["device"]) == (
        "auto", "fp32", "auto")
    sizes = [record["settings"][name] for name in ("patch_size", "num_transformer_layer", "embedding_dim", "mlp_size",
                                                   "num_heads")]
    assert sizes == [16, 12, 192, 768, 3]
    config = load_checkpoint(tmp_path / "runs/ViTModel/best.pt")["config"]
    assert [config[name] for name in ("patch_size", "num_layers", "embedding_dim", "mlp_size", "num_heads")] == sizes
    assert "L = 12, D = 192" in (tmp_path / "runs/ViTModel/report.html").read_text()
    assert "give 1 steps per epoch, 1 in total" in out


def make_recipe(folder):
    """A recipe of another, smaller network."""
    path = folder / "small.yaml"
    path.write_text("model: vit_s_16\nembedding_dim: 12\nnum_heads: 3\nmlp_size: 20\npatch_size: 4\n"
                    "num_transformer_layer: 1\nbatch_size: 64\nin_channels: 1\n")
    return path


@pytest.mark.parametrize(("given", "complaint"), [
    (["--num_transformer_layer", 1000, "--embedding_dim", 65536, "--num_heads", 16], "parameters takes"),
    (["--embedding_dim", 65, "--num_heads", 3], "not a multiple of num_heads"), (["--model", "vit_x"], "unknown model"),
    (["--device", "cuda:99"], "--device cuda:99"), (["--precision", "fp16", "--device", "cpu"], "needs a CUDA GPU")])
def test_a_model_or_device_that_cannot_be_is_refused_before_slices_are_read(call_train, tmp_path, given, complaint):
    (tmp_path / "empty").mkdir()
    code, _, err = call_train("--train_dir", "empty", *given)
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err
