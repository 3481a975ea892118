from argparse import Namespace
from pathlib import Path

import pytest
import torch

from data_setup.images.resize import Frame
from data_setup.loading.run_data import find_run_folders, load_run_data

CPU = torch.device("cpu")


@pytest.fixture
def settings(slices):
    return Namespace(train_dir=slices / "train", test_dir=slices / "test", val_dir=None, demo=False, batch_size=5,
                     image_size=(16, 12), in_channels=1, subjects=None, table=None, subject_pattern=None, seed=1,
                     augment=False, mixup=0.0, cutmix=0.0, num_workers=0, num_classes=None)


def test_the_named_folders_are_read(settings):
    folders = find_run_folders(settings)
    data = load_run_data(settings, folders, "auto", CPU)
    assert data.class_names == ["AD", "CN"]
    assert len(data.table) == 96
    assert folders.phantom is None


def test_pretrained_weights_bring_frame_mean_and_std(settings):
    own = Frame((8, 8), "crop", 0.5, "bicubic").describe() | {"mean": [0.4], "std": [0.3]}
    data = load_run_data(settings, find_run_folders(settings), "auto", CPU, own)
    assert {name: data.preprocessing[name] for name in own} == own
    images, _ = next(iter(data.test))
    assert images.shape == (5, 1, 8, 8)
    assert images.min() >= (0 - 0.4) / 0.3
    assert any("weights shows the middle 38% of the height and 50% of the width of a slice of 16x12" in note
               for note in data.notes)


def test_another_number_of_classes_is_refused(settings):
    settings.num_classes = 3
    with pytest.raises(ValueError, match="--num_classes 3, but the data has 2 classes: AD, CN"):
        load_run_data(settings, find_run_folders(settings), "auto", CPU)


def test_a_split_that_was_written_down_is_repeated(settings, tmp_path):
    data = load_run_data(settings, find_run_folders(settings), "patient", CPU)
    data.table.to_csv(tmp_path / "split.csv", index=False)
    settings.seed = 9
    again = load_run_data(settings, find_run_folders(settings), Path(tmp_path / "split.csv"), CPU)
    assert again.table[["path", "split"]].equals(data.table[["path", "split"]])
