"""Both training scripts and evaluate.py, whole, on simulated CUDA tensors: no tensor may be left on the CPU."""

import json
import shutil

import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint
from tests.cuda.simulated import simulated_cuda
from tests.cuda.undone import undo
from tests.survival.runs import equal


@pytest.fixture
def few_batches(arguments):
    """Two training batches an epoch: a simulated operation is far slower than a real one of this size."""
    return [*arguments, "--batch_size", "32"]


def done(result):
    code, out, err = result
    assert (code, err) == (0, ""), err
    return out


@pytest.mark.parametrize("flags", [
    ["--optimizer", "adam", "--precision", "fp32", "--accumulation", "2"],
    ["--precision", "fp16", "--accumulation", "2", "--label_smoothing", "0.1", "--schedule", "linear"],
    ["--checkpoint_activations", "--dropout", "0.1", "--class_weights", "sqrt", "--no_augment", "--drop_path", "0.2",
     "--mixup", "0.4", "--cutmix", "1", "--ema", "0.9"],
], ids=" ".join)
def test_training_from_first_batch_to_report(cuda, call_train, few_batches, flags):
    """One epoch; the tests below have two."""
    done(call_train(*few_batches, "--epochs", "1", *flags))


@pytest.mark.parametrize("flags", [
    ["--optimizer", "adamw"],                                                      # bf16, as --precision auto resolves
    ["--optimizer", "sgd", "--precision", "fp16", "--clip_norm", "0", "--class_weights", "balanced"],
], ids=" ".join)
def test_training_and_evaluation_from_first_batch_to_report(cuda, call_train, call_script, few_batches, tmp_path,
                                                            flags):
    import evaluate

    out = done(call_train(*few_batches, "--epochs", "2", *flags))
    assert "device   simulated GPU" in out
    assert "GPU memory" in out
    run = tmp_path / "runs" / "ViTModel"
    checkpoint = load_checkpoint(run / "best.pt")
    assert all(value.device.type == "cpu" for value in checkpoint["weights"].values())
    done(call_script(evaluate.main, run))
    trained, evaluated = (json.loads((run / name).read_text()) for name in ("metrics.json", "evaluation/metrics.json"))
    assert trained["test"]
    assert evaluated


def test_a_run_goes_on_where_it_stopped(cuda, call_train, few_batches, tmp_path):
    given = [*few_batches, "--epochs", "2", "--precision", "fp16", "--ema", "0.9"]
    done(call_train(*given, "--name", "whole"))
    done(call_train(*given, "--name", "halves", "--stop_after", "1"))
    done(call_train("--resume", "runs/halves"))
    ours, theirs = (load_checkpoint(tmp_path / "runs" / name / "last.pt") for name in ("halves", "whole"))
    for key in ("epoch", "optimizer", "schedule", "scaler", "weights", "unaveraged"):
        assert equal(ours[key], theirs[key]), key


def test_slices_in_host_memory_and_on_the_disk(cuda, call_train, few_batches, monkeypatch):
    """A GPU without room for the slices; then a machine without room for them."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (1000, 2000))
    out = done(call_train(*few_batches, "--epochs", "1"))
    assert "GPU memory" not in out
    from data_setup.loading import dataloaders

    monkeypatch.setattr(dataloaders, "fits_in_memory", lambda num_bytes: False)
    assert "on disk" in done(call_train(*few_batches, "--epochs", "1", "--num_workers", "0"))


@pytest.mark.parametrize("flags", [
    ["--augment", "--views", "2"],
    ["--backbone", "ours", "--train", "all", "--class_weights", "balanced"],
    ["--train", "last:1", "--precision", "fp32", "--optimizer", "sgd", "--accumulation", "2"],
    ["--train", "all", "--precision", "fp16", "--in_channels", "1", "--drop_path", "0.2", "--mixup", "1", "--ema",
     "0.9"],
], ids=" ".join)
def test_fine_tuning_from_first_batch_to_report(cuda, transfer, flags):
    assert "device   simulated GPU" in done(transfer(*flags))


@pytest.mark.parametrize("flags", [["--no_cache"], ["--backbone", "ours", "--precision", "fp16"]], ids=" ".join)
def test_fine_tuning_and_evaluation_from_first_batch_to_report(cuda, transfer, call_script, tmp_path, flags):
    import evaluate

    done(transfer(*flags))
    done(call_script(evaluate.main, tmp_path / "runs" / "ViTModelTransferLearning"))


def test_a_resnet_too(cuda, transfer, slices, tmp_path):
    """On six of twelve patients of each class: its convolutions take most of the time. Its head alone is trained on
    features, as that of a ViT is.
    """
    for path in slices.rglob("sub-??0[0-5]_*.png"):
        copy = tmp_path / "few" / path.relative_to(slices)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    done(transfer("--train_dir", tmp_path / "few/train", "--test_dir", tmp_path / "few/test", "--model", "resnet18",
                  "--image_size", "32", "--train", "last:1", "--epochs", "1", "--batch_size", "24"))


def test_a_gpu_without_bf16_trains_in_fp16_and_a_cpu_scores_its_model_in_fp32(call_train, call_script, few_batches,
                                                                              tmp_path, monkeypatch):
    import evaluate
    from functions.training import throughput as speed

    monkeypatch.setattr(speed, "measured_peak", lambda device, precision: 1e12)
    with simulated_cuda(bf16=False):
        assert "simulated GPU, fp16" in done(call_train(*few_batches, "--epochs", "1"))
    run = tmp_path / "runs" / "ViTModel"
    assert load_checkpoint(run / "best.pt")["precision"] == "fp16"
    assert "scored in fp32: this cpu device does not support fp16" in done(call_script(evaluate.main, run))


LEFT_IN_TRAINING = {          # a tensor → module and function, the text that moves it to the device, its replacement
    "mean and std": ("data_setup.loading.batches", "Batches.__init__", "transform.to(device)", "transform"),
    "class weights": ("functions.training.optimisation", "make_optimisation", "class_weights.to(device)",
                      "class_weights"),
    "model": ("train", "train", "num_classes=len(data.class_names))).to(device)",
              "num_classes=len(data.class_names)))"),
    "images": ("functions.engine", "train_step", "images.to(device, non_blocking=True)", "images.cpu()"),
    "labels": ("functions.engine", "train_step", "labels.to(device, non_blocking=True)", "labels.cpu()"),
    "images that are scored": ("functions.engine", "test_step", "images.to(device, non_blocking=True)", "images.cpu()"),
    "labels that are scored": ("functions.engine", "test_step", "labels.to(device, non_blocking=True)", "labels.cpu()"),
    "sum of the loss": ("functions.epoch_metrics", "EpochSums.__init__", "torch.zeros((), device=device)",
                        "torch.zeros(())"),
    "first bad step": ("functions.epoch_metrics", "EpochSums.__init__", "torch.full((), torch.inf, device=device)",
                       "torch.full((1,), torch.inf)"),
    "confusion counts": ("functions.epoch_metrics", "EpochSums.add", "dtype=torch.long, device=logits.device",
                         "dtype=torch.long"),
    "flips": ("data_setup.loading.transforms", "RandomAugment.forward", "torch.rand(batch, device=device)",
              "torch.rand(batch)"),
    "movements": ("data_setup.loading.transforms", "RandomAugment.forward", "torch.rand(6, batch, device=device)",
                  "torch.rand(6, batch)"),
    "pixel centres": ("data_setup.loading.transforms", "pixel_centres", "torch.arange(count, device=device, ",
                      "torch.arange(count, "),
}
LEFT_IN_FINE_TUNING = {
    "cached features": ("data_setup.loading.feature_batches", "with_features",
                        "new.to(old.dataset.labels.device)", "new"),
    "backbone": ("train_transferlearning", "train", "len(data.class_names)).to(device)", "len(data.class_names))"),
}
LEFT_IN_EVALUATION = {
    "mean and std": ("data_setup.loading.predict_data", "RowsToScore.batches", "transform.to(device)", "transform"),
    "slices": ("data_setup.loading.predict_data", "RowsToScore.batches", "pixels.to(device)", "pixels"),
    "model": ("evaluate", "load_network", "load_trained(path, device)", "load_trained(path)"),
}
NOTICED = pytest.raises((RuntimeError, TypeError), match="device|cpu|should be the same")


@pytest.mark.parametrize("what", LEFT_IN_TRAINING)
def test_a_tensor_that_training_leaves_on_the_cpu_is_noticed(cuda, call_train, few_batches, monkeypatch, what):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (1000, 2000))      # slices in host memory
    undo(monkeypatch, *LEFT_IN_TRAINING[what])
    with NOTICED:
        call_train(*few_batches, "--epochs", "2", "--stop_after", "1", "--class_weights", "sqrt")


@pytest.mark.parametrize("what", LEFT_IN_FINE_TUNING)
def test_a_tensor_that_fine_tuning_leaves_on_the_cpu_is_noticed(cuda, transfer, monkeypatch, what):
    undo(monkeypatch, *LEFT_IN_FINE_TUNING[what])
    with NOTICED:
        transfer("--augment", "--stop_after", "1")


@pytest.mark.parametrize("what", LEFT_IN_EVALUATION)
def test_a_tensor_that_evaluation_leaves_on_the_cpu_is_noticed(call_script, short_run, monkeypatch, what):
    import evaluate

    undo(monkeypatch, *LEFT_IN_EVALUATION[what])
    with simulated_cuda(), NOTICED:
        call_script(evaluate.main, short_run)
