from pathlib import Path

import pytest

from data_setup.framing import Frame
from data_setup.predict_data import rows_to_score

CHECKPOINT = {"class_names": ["AD", "CN"], "seen": {"subjects": ["sub-AD00"], "digests": []},
              "preprocessing": Frame((16, 12)).describe() | {"channels": 1, "mean": [0.4], "std": [0.2]}}


def test_a_data_sets_test_folder_is_scored_and_seen_patients_are_counted(slices):
    rows = rows_to_score(None, slices, CHECKPOINT, None, None)
    assert len(rows.test) == 24
    assert all(Path(path).parts[-3] == "test" for path in rows.test["path"])
    assert rows.seen == 1
    assert rows.nearest_neighbour() is None


def test_slices_without_a_test_folder_are_all_scored(slices):
    assert len(rows_to_score(None, slices / "train", CHECKPOINT, None, None).test) == 72


def test_classes_the_model_has_not_are_refused(slices):
    with pytest.raises(ValueError, match='class "AD" is none of the model'):
        rows_to_score(None, slices, CHECKPOINT | {"class_names": ["CN", "MCI"]}, None, None)


def test_a_checkpoint_alone_needs_data():
    with pytest.raises(ValueError, match="needs --data"):
        rows_to_score(None, None, CHECKPOINT, None, None)
