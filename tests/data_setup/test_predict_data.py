import shutil
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
    assert rows.notes == [f"the slices of {slices / 'test'}"]
    assert rows.met(CHECKPOINT | {"seen": {"subjects": ["sub-AD00"], "digests": ["x"]}}) == (1, 0)
    assert rows.nearest_neighbour() is None


def test_an_old_checkpoint_knows_nobody_it_was_trained_on(slices):
    rows = rows_to_score(None, slices, CHECKPOINT, None, None)
    assert rows.met({name: value for name, value in CHECKPOINT.items() if name != "seen"}) is None
    assert rows.met(CHECKPOINT | {"seen": {"subjects": [], "digests": []}}) is None


def test_slices_without_a_test_folder_are_all_scored(slices):
    assert len(rows_to_score(None, slices / "train", CHECKPOINT, None, None).test) == 72


def test_a_test_folder_alone_fewer_classes_and_hidden_folders_are_fine(slices, tmp_path):
    shutil.copytree(slices / "test" / "CN", tmp_path / "new é" / "test" / "CN")
    shutil.copytree(slices / "test" / "CN", tmp_path / "new é" / "test" / ".hidden")
    (tmp_path / "new é" / "test" / "notes.txt").touch()
    rows = rows_to_score(None, tmp_path / "new é", CHECKPOINT, None, None)
    assert set(rows.test["label"]) == {1}
    assert len(rows.test) == 12
    assert "2 files are no images" in rows.notes[1]


def test_a_table_of_slices_is_scored_by_its_test_rows(slices):
    names = sorted((slices / "test" / "CN").iterdir())
    table = slices.parent / "table.csv"
    table.write_text("path,class,split\n" + "".join(f"{path},CN,{'test' if i else 'train'}\n"
                                                    for i, path in enumerate(names)))
    assert len(rows_to_score(None, table, CHECKPOINT, None, None).test) == 11


def test_classes_the_model_has_not_are_refused(slices):
    with pytest.raises(ValueError, match='class "AD" is none of the model'):
        rows_to_score(None, slices, CHECKPOINT | {"class_names": ["CN", "MCI"]}, None, None)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ValueError, match="needs --data"):
        rows_to_score(None, None, CHECKPOINT, None, None)
    with pytest.raises(ValueError, match="there is no --data"):
        rows_to_score(tmp_path, None, CHECKPOINT, tmp_path / "x.csv", None)
    with pytest.raises(ValueError, match="holds no class folders"):
        rows_to_score(None, tmp_path, CHECKPOINT, None, None)


@pytest.mark.parametrize("largest", [0, 1])
def test_the_constant_answer_is_the_largest_class_of_the_runs_training_slices(slices, tmp_path, largest):
    """Of test the other class is the largest."""
    rows = []
    for k, name in enumerate(CHECKPOINT["class_names"]):
        for side, many in (("train", k == largest), ("test", k != largest)):
            files = sorted((slices / side / name).iterdir())[:9 if many else 4]
            rows += [f"{path},{name},{path.name.split('_')[0]},{side}" for path in files]
    (tmp_path / "split.csv").write_text("\n".join(["path,class,subject,split", *rows]))
    (tmp_path / "run.json").write_text('{"settings": {}}')
    scored = rows_to_score(tmp_path, None, CHECKPOINT, None, None)
    assert scored.largest == largest
    assert scored.test["label"].value_counts().idxmax() != largest
