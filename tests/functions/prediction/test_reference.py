from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from functions.checkpointing.checkpoint import save_checkpoint
from functions.prediction import reference as module
from functions.prediction.reference import NAME, Reference, find_reference, load_reference, reference_maker, thinned
from functions.runtime.errors import UserError

CHECKPOINT = {"run_id": "a", "epoch": 3, "class_names": ["AD", "CN"]}


@pytest.fixture
def reference():
    generator = torch.Generator().manual_seed(0)
    train, val = (torch.randn(count, 4, generator=generator) for count in (30, 8))
    return Reference(train, val, [f"{n}.png" for n in range(30)], ["AD"] * 30, torch.full((8, 2), 0.5), [0, 1] * 4,
                     True, "a", 3)


def test_training_and_validation_slices_are_not_confused(monkeypatch):
    """File n has the features (n, -n) and the probability n/100 of its second class; three training slices suffice."""
    monkeypatch.setattr(module, "MAX_SLICES", 3)
    known = pd.DataFrame({"path": [f"{n}" for n in range(8)], "class": ["AD", "CN"] * 4,
                          "split": ["val", "train", "train", "val", "train", "train", "train", "val"]})

    def stream(paths, coloured=None):
        for start in range(0, len(paths), 2):
            part = [float(path) for path in paths[start:start + 2]]
            yield SimpleNamespace(pixels=torch.tensor(part), coloured=[n == coloured for n in part])

    def extract(n):
        return torch.stack([1 - n / 100, n / 100], dim=1), torch.stack([n, -n], dim=1)

    for coloured, gray in ((None, True), (4, False), (7, False)):
        made = reference_maker(known, partial(stream, coloured=coloured), extract, CHECKPOINT)()
        assert (made.paths, made.labels, made.val_labels) == (["1", "4", "6"], ["CN", "AD", "AD"], [0, 1, 1])
        assert made.train.tolist() == [[1, -1], [4, -4], [6, -6]]
        assert made.val.tolist() == [[0, 0], [3, -3], [7, -7]]
        np.testing.assert_allclose(made.val_probabilities[:, 1], [0, 0.03, 0.07])
        assert (made.gray, made.run_id, made.epoch) == (gray, "a", 3)
    assert reference_maker(known[:0], stream, extract, CHECKPOINT) is None


def test_it_is_made_once_and_read_afterwards(reference, tmp_path):
    made, [note] = find_reference(tmp_path, CHECKPOINT, lambda: reference)
    assert note == f"{tmp_path / NAME} written: features of 30 training slices"
    again, notes = find_reference(tmp_path, CHECKPOINT, lambda: pytest.fail("it exists"))
    assert notes == []
    assert torch.equal(made.train, again.train)
    assert torch.equal(made.val, again.val)
    assert (again.paths, again.gray) == (reference.paths, True)


@pytest.mark.parametrize("other", [{"run_id": "b", "epoch": 3}, {"run_id": "a", "epoch": 4}])
def test_that_of_another_checkpoint_is_made_again(reference, tmp_path, other):
    find_reference(tmp_path, CHECKPOINT, lambda: reference)
    assert load_reference(tmp_path, CHECKPOINT | other) is None
    assert find_reference(tmp_path, CHECKPOINT | other, lambda: replace(reference, **other))[0].epoch == other["epoch"]


def test_without_training_slices_there_is_none(tmp_path):
    found, [note] = find_reference(tmp_path, CHECKPOINT, None)
    assert found is None
    assert "out-of-distribution images are not flagged" in note


def test_a_folder_that_cannot_be_written_is_a_note(reference, tmp_path, monkeypatch):
    def refuse(path, content):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module, "save_checkpoint", refuse)
    found, [note] = find_reference(tmp_path, CHECKPOINT, lambda: reference)
    assert found is reference
    assert "could not be written (Read-only file system)" in note


def test_the_nearest_training_slices_are_those_of_smallest_mahalanobis_distance(reference):
    new = reference.train[[4, 9]].numpy() + 1e-4
    near = reference.nearest(new, 3)
    precision = reference.novelty.precision
    for row, found in zip(new, near, strict=True):
        centred = reference.train.numpy() - row
        distances = np.einsum("ij,jk,ik->i", centred, precision, centred)
        assert found == np.argsort(distances)[:3].tolist()
    assert [found[0] for found in near] == [4, 9]


@pytest.mark.parametrize("change", [
    {"train": torch.zeros(1, 4)}, {"train": torch.zeros(30)}, {"train": torch.full((30, 4), torch.nan)},
    {"train": torch.zeros(30, 4, dtype=torch.float64)}, {"val": torch.zeros(2, 5)}, {"paths": ["a"]},
    {"labels": [1] * 30}, {"val_labels": [0, 2] * 4}, {"val_probabilities": torch.full((8, 2), 0.4)}, {"gray": 1},
    {"epoch": "3"}, {"run_id": None}, {"extra": 1}])
def test_damaged_content_is_refused_by_name(reference, tmp_path, change):
    content = {name: getattr(reference, name) for name in Reference.__dataclass_fields__} | change
    save_checkpoint(tmp_path / NAME, content)
    with pytest.raises(UserError, match=rf"{NAME} is damaged \(.*\): remove it"):
        load_reference(tmp_path, CHECKPOINT)


def test_many_slices_are_thinned_evenly():
    assert thinned(3) == [0, 1, 2]
    many = thinned(12_345)
    assert (len(many), many[0], many[-1]) == (module.MAX_SLICES, 0, 12_344)
    assert max(np.diff(many)) <= 3
