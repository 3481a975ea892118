import os

import pandas as pd
import pytest

from data_setup.images.resize import Frame
from data_setup.loading.training_slices import stream_known, training_slices
from functions.runtime.errors import UserError
from tests.conftest import save_noise


@pytest.fixture
def run(tmp_path):
    rows = [(str(tmp_path / f"{split}.png"), "AD", f"sub-{split}", split) for split in ("train", "val", "test")]
    for path, *_ in rows:
        save_noise(tmp_path / os.path.basename(path))
    pd.DataFrame(rows, columns=["path", "class", "subject", "split"]).to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def test_training_and_validation_slices_of_a_run(run):
    table, notes = training_slices(run, None)
    assert (table["split"].tolist(), notes) == (["train", "val"], [])


def test_missing_slices_are_named(run):
    (run / "val.png").unlink()
    table, [note] = training_slices(run, None)
    assert len(table) == 0
    assert note.startswith("1 of 2 training slices are not at the paths in")
    assert "val.png" in note
    assert training_slices(None, None)[1] == ["a checkpoint without its run folder: the training slices are unknown"]


def test_a_training_slice_that_cannot_be_read_is_an_error(run):
    (run / "val.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"val\.png, a training slice of the run, cannot be read: "):
        list(stream_known([str(run / "train.png"), str(run / "val.png")], Frame((8, 6)), 1))
