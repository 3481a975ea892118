import functools

import pytest

from functions.training import throughput as speed
from models import VARIANTS
from models.config import ViTConfig
from tests.cuda.simulated import simulated_cuda

SIZES = {"patch_size": 4, "num_layers": 2, "embedding_dim": 12, "num_heads": 3, "mlp_size": 20}


@pytest.fixture
def cuda(monkeypatch):
    """A simulated GPU with bf16; its speed is not measured, since it has none."""
    monkeypatch.setattr(speed, "measured_peak", lambda device, precision: 1e12)
    with simulated_cuda():
        yield


@pytest.fixture
def transfer(call_script, slices, monkeypatch):
    """Calls train_transferlearning.py on the slices, vit_b_16 being a small network of random weights."""
    import train_transferlearning

    monkeypatch.setitem(VARIANTS, "vit_b_16", ViTConfig(**SIZES))
    return functools.partial(
        call_script, train_transferlearning.main, "--train_dir", slices / "train", "--test_dir", slices / "test",
        "--weights", "random", "--image_size", "16", "--batch_size", "32", "--epochs", "2", "--lr", "0.01")
