from argparse import Namespace

import numpy as np
import pytest
import torch

from data_setup.images.resize import Frame
from data_setup.loading.cohort import CohortImages, read_cohort
from functions.runtime.errors import UserError


def settings(slices, **changes):
    return Namespace(**{"train_dir": slices / "train", "test_dir": slices / "test", "val_dir": None, "demo": False,
                        "subjects": None, "table": None, "subject_pattern": None} | changes)


def test_all_folders_are_pooled_and_every_split_keeps_patients_apart(slices):
    cohort = read_cohort(settings(slices), 3, 2, 0)
    assert len(cohort.table) == 96
    assert cohort.num_patients == 24
    assert cohort.class_names == ["AD", "CN"]
    splits = list(cohort.splits(0))
    assert [(repeat, fold) for repeat, fold, _ in splits] == [(r, f) for r in range(2) for f in range(3)]
    tested = {0: [], 1: []}
    for repeat, _, table in splits:
        assert table["path"].tolist() == cohort.table["path"].tolist()
        by_split = table.groupby("split")["subject"].unique()
        assert set(by_split.index) == {"train", "val", "test"}
        assert sum(map(len, by_split)) == 24                      # no patient in two of them
        assert set(table[table["split"] == "val"]["class"]) == {"AD", "CN"}
        tested[repeat] += by_split["test"].tolist()
    assert all(sorted(subjects) == sorted(set(cohort.table["subject"])) for subjects in tested.values())


def test_the_fold_table_holds_the_folds_of_the_splits(slices):
    cohort = read_cohort(settings(slices), 2, 1, 5)
    _, _, split = list(cohort.splits(5))[1]
    assert ((cohort.fold_table["repeat_1"] == 2) == (split["split"] == "test")).all()
    assert cohort.digest != read_cohort(settings(slices), 2, 1, 6).digest


def test_unknown_patients_are_refused(tmp_path, slices):
    from tests.conftest import save_noise

    for name in ("AD", "CN"):
        for number in range(3):
            save_noise(tmp_path / "train" / name / f"{'abc'[number]}.png", seed=number)
    with pytest.raises(UserError, match="patients of 6 of 6 slices are unknown"):
        read_cohort(settings(tmp_path, test_dir=None), 2, 1, 0)


def test_batches_of_any_slices_are_in_order_in_testing_and_augmented_in_training(slices):
    cohort = read_cohort(settings(slices), 2, 1, 0)
    images = CohortImages(cohort.table, cohort.class_names, Frame((16, 12)), 1, [0.5], [0.5], torch.device("cpu"))
    rows = np.array([5, 90, 7])
    [(pixels, labels)] = images.batches(rows, 8)
    assert labels.tolist() == [cohort.class_names.index(cohort.table["class"][row]) for row in rows]
    assert torch.allclose(pixels, images.dataset.images[rows] / 255 / 0.5 - 1, atol=1e-6)
    torch.manual_seed(0)
    trained = [batch for batch, _ in images.batches(np.arange(96), 40, train=True)]
    assert [len(batch) for batch in trained] == [40, 40, 16]
    plain = torch.cat([batch for batch, _ in images.batches(np.arange(96), 96)])
    assert not torch.allclose(torch.cat(trained).sort(dim=0).values, plain.sort(dim=0).values, atol=0.01)


def test_a_slice_that_cannot_be_read_is_an_error(slices):
    table = read_cohort(settings(slices), 2, 1, 0).table.assign(path="nowhere.png")
    with pytest.raises(UserError, match="nowhere.png"):
        CohortImages(table, ["AD", "CN"], Frame((16, 12)), 1, [0.5], [0.5], torch.device("cpu"))
