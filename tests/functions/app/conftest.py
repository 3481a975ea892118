from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data_setup.images.resize import Frame
from data_setup.loading.image_stream import stream_images
from data_setup.loading.transforms import make_transforms
from data_setup.subjects.find import find_subjects
from functions.app.answer import Predictor
from functions.prediction.features import FeatureExtractor
from functions.prediction.reference import reference_maker
from models import ViT, ViTConfig

CLASSES = ["AD", "CN", "MCI"]


def write_slice(path, seed, level=100):
    pixels = np.random.default_rng(seed).normal(level, 30, (16, 12)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture(scope="package")
def predictor(tmp_path_factory):
    """A tiny ViT with random weights, its reference of 30 training and 12 validation slices of noise."""
    folder = tmp_path_factory.mktemp("training")
    paths = [write_slice(folder / f"sub-{seed:02d}.png", seed) for seed in range(42)]
    labels = [CLASSES[seed % 3 if seed < 30 else 2 * (seed < 38)] for seed in range(42)]
    known = pd.DataFrame({"path": paths, "class": labels, "split": ["train"] * 30 + ["val"] * 12})
    torch.manual_seed(0)
    model = ViT(ViTConfig(image_size=(16, 12), patch_size=4, in_channels=1, num_classes=3, num_layers=2,
                          embedding_dim=12, num_heads=3, mlp_size=20)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    extract = FeatureExtractor(model, torch.device("cpu"), "fp32")
    transform = make_transforms([0.4], [0.25], augment=False)[1]

    def read(paths):
        return stream_images(paths, Frame((16, 12)), 1, 64)

    make = reference_maker(known, read, lambda pixels: extract(transform(pixels)),
                           {"class_names": CLASSES, "run_id": "r", "epoch": 3})
    return Predictor(model, CLASSES, extract, transform, read,
                     lambda paths: find_subjects([Path(path).name for path in paths]),
                     lambda paths, subjects, batch: (["pixels" if "seen" in Path(path).name else "no"
                                                      for path in paths], []), make())


@pytest.fixture
def uncalibrated(predictor):
    return replace(predictor, reference=None)


@pytest.fixture
def new(tmp_path):
    """new(name, seed) → the path of a slice of noise."""
    return lambda name, seed=77, level=100: write_slice(tmp_path / name, seed, level)
