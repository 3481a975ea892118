import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_setup.images.resize import Frame
from data_setup.loading.predict_data import rows_to_score
from functions.runtime.errors import UserError

CHECKPOINT = {"class_names": ["AD", "CN"], "seen": {"subjects": ["sub-AD00"], "digests": []},
              "preprocessing": Frame((16, 12)).describe() | {"channels": 1, "mean": [0.4], "std": [0.2]}}


def test_a_data_sets_test_folder_is_scored_and_seen_patients_are_counted(slices):
    rows = rows_to_score(None, slices, CHECKPOINT, None, None)
    assert len(rows.test) == 24
    assert all(Path(path).parts[-3] == "test" for path in rows.test["path"])
    assert rows.notes == [f"the slices of {slices / 'test'}"]
    assert rows.count_seen(CHECKPOINT | {"seen": {"subjects": ["sub-AD00"], "digests": ["x"]}}) == (1, 0)
    assert rows.nearest_neighbour() is None


def test_an_old_checkpoint_knows_nobody_it_was_trained_on(slices):
    rows = rows_to_score(None, slices, CHECKPOINT, None, None)
    assert rows.count_seen({name: value for name, value in CHECKPOINT.items() if name != "seen"}) is None
    assert rows.count_seen(CHECKPOINT | {"seen": {"subjects": [], "digests": []}}) is None


def other_hospital(root):
    """Another set whose patients have ids of the first one's."""
    generator = np.random.default_rng(5)
    for name in ("AD", "CN"):
        folder = root / name
        folder.mkdir(parents=True)
        for person in range(3):
            pixels = generator.integers(0, 255, (16, 12)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"sub-{name}{person:02d}_z0.png")
    return root


def test_another_hospitals_ids_are_not_the_training_patients(slices, tmp_path):
    seen = {"subjects": ["sub-AD00", "sub-CN01"], "digests": ["x"], "folders": [str(slices / "train")]}
    rows = rows_to_score(None, other_hospital(tmp_path / "B"), CHECKPOINT, None, None)
    assert rows.count_seen(CHECKPOINT | {"seen": seen}, None) == (0, 0)
    assert "2 patients here have ids of training patients (sub-AD00, sub-CN01) and count as other" in rows.notes[-1]
    rows = rows_to_score(None, slices, CHECKPOINT, None, None)
    assert rows.count_seen(CHECKPOINT | {"seen": seen}, None) == (2, 0)          # the same set's test folder
    assert rows.count_seen(CHECKPOINT | {"seen": seen | {"folders": []}}, None) == (2, 0)      # an older checkpoint


def test_an_old_checkpoints_data_set_is_that_of_its_runs_split(slices, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "split.csv").write_text("path,class,subject,split\n" + "".join(
        f"{path},{path.parent.name},{path.name[:8]},train\n" for path in sorted(slices.glob("train/*/*.png"))))
    checkpoint = CHECKPOINT | {"seen": {"subjects": ["sub-AD00"], "digests": ["x"]}}
    rows = rows_to_score(run, other_hospital(tmp_path / "B"), checkpoint, None, None)
    assert rows.count_seen(checkpoint, run) == (0, 0)
    assert rows_to_score(run, slices, checkpoint, None, None).count_seen(checkpoint, run) == (1, 0)
    without = {name: value for name, value in CHECKPOINT.items() if name != "seen"}
    assert rows.count_seen(without, run) == (0, 0)
    other = rows_to_score(None, slices, checkpoint, None, None)
    assert other.count_seen(without, run)[0] == 24     # another run: its own split
    assert rows.count_seen(without, None) is None


def test_a_table_of_slices_brings_its_patients(slices, tmp_path):
    paths = sorted((slices / "test" / "CN").iterdir())
    file = tmp_path / "t.csv"
    file.write_text("path;class;patient_id;split\n" + "".join(
        f"{path};CN;{'NA' if i else 'ADNI_003_S_0002'};test\n" for i, path in enumerate(paths)))
    rows = rows_to_score(None, file, CHECKPOINT, None, None)
    assert rows.test["subject"].tolist() == ["003_S_0002", *(path.name[:8] for path in paths[1:])]


def test_unknown_patients_come_with_a_remedy(tmp_path):
    for number, path in enumerate(sorted(other_hospital(tmp_path / "B").rglob("*.png"))):
        path.rename(path.with_name(f"{number}.png"))
    rows = rows_to_score(None, tmp_path / "B", CHECKPOINT, None, None)
    assert rows.notes[-1] == "give --subjects FILE.csv or --subject_pattern REGEX"       # evaluate.py has no auto


def test_slices_without_a_test_folder_are_all_scored(slices):
    assert len(rows_to_score(None, slices / "train", CHECKPOINT, None, None).test) == 72


def test_a_test_folder_alone_fewer_classes_and_hidden_folders_are_fine(slices, tmp_path):
    shutil.copytree(slices / "test" / "CN", tmp_path / "new é" / "test" / "CN")
    shutil.copytree(slices / "test" / "CN", tmp_path / "new é" / "test" / ".hidden")
    (tmp_path / "new é" / "test" / "notes.txt").touch()
    rows = rows_to_score(None, tmp_path / "new é", CHECKPOINT, None, None)
    assert set(rows.test["label"]) == {1}
    assert len(rows.test) == 12
    assert ".hidden holds images, but is left out because of its name" in rows.notes[1]
    assert "2 files or folders are left out" in rows.notes[2]


def test_a_table_of_slices_is_scored_by_its_test_rows(slices):
    names = sorted((slices / "test" / "CN").iterdir())
    table = slices.parent / "table.csv"
    table.write_text("path,class,split\n" + "".join(f"{path},CN,{'test' if i else 'train'}\n"
                                                    for i, path in enumerate(names)))
    assert len(rows_to_score(None, table, CHECKPOINT, None, None).test) == 11


def test_classes_the_model_has_not_are_refused(slices):
    with pytest.raises(ValueError, match=r'class "AD", of .*png, is not a class of the model'):
        rows_to_score(None, slices, CHECKPOINT | {"class_names": ["CN", "MCI"]}, None, None)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ValueError, match="needs --data"):
        rows_to_score(None, None, CHECKPOINT, None, None)
    with pytest.raises(ValueError, match="--data is missing"):
        rows_to_score(tmp_path, None, CHECKPOINT, tmp_path / "x.csv", None)
    with pytest.raises(ValueError, match="holds no class folders"):
        rows_to_score(None, tmp_path, CHECKPOINT, None, None)


def test_the_test_folder_is_found_under_any_usual_name_and_the_others_are_named(slices, tmp_path):
    shutil.copytree(slices / "test", tmp_path / "d" / "TESTING")
    shutil.copytree(slices / "train", tmp_path / "d" / "Training")
    (tmp_path / "d" / "raw").mkdir()
    rows = rows_to_score(None, tmp_path / "d", CHECKPOINT, None, None)
    assert len(rows.test) == 24
    assert rows.notes == [f"the slices of {tmp_path / 'd' / 'TESTING'}, without raw"]


def test_slices_for_training_are_not_scored_silently(slices, tmp_path):
    shutil.copytree(slices / "train", tmp_path / "d" / "train")
    with pytest.raises(UserError, match=r"d holds train/ but no test folder: to score \S+d/train, give --data"):
        rows_to_score(None, tmp_path / "d", CHECKPOINT, None, None)
    path = sorted((slices / "train" / "AD").iterdir())[0]
    (tmp_path / "x.csv").write_text(f"path,class,split\n{path},AD,train\n")
    with pytest.raises(UserError, match=r"x\.csv has no row of split test"):
        rows_to_score(None, tmp_path / "x.csv", CHECKPOINT, None, None)
    (tmp_path / "x.csv").write_text(f"path,class,split\n{path},AD,Testing\n{path}x,AD,train\n")
    rows = rows_to_score(None, tmp_path / "x.csv", CHECKPOINT, None, None)
    assert len(rows.test) == 1
    assert rows.notes == [f"the test rows of {tmp_path / 'x.csv'}: 1 rows of other splits are left out"]


def test_class_names_are_compared_in_one_unicode_form(slices, tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Démence") for form in ("NFC", "NFD"))
    for folder_name, model_name in ((decomposed, composed), (composed, decomposed)):
        shutil.copytree(slices / "test" / "CN", tmp_path / model_name / folder_name)
        rows = rows_to_score(None, tmp_path / model_name, CHECKPOINT | {"class_names": ["AD", model_name]}, None, None)
        assert set(rows.test["label"]) == {1}


def test_what_may_be_slices_is_a_note(slices, tmp_path):
    shutil.copytree(slices / "test", tmp_path / "d")
    for i in range(36):
        (tmp_path / "d" / "AD" / f"{i}.dcm").touch()
    notes = " ".join(rows_to_score(None, tmp_path / "d", CHECKPOINT, None, None).notes)
    assert "CHECK: 36 of 48 files" in notes
    assert "36 files or folders are left out" in notes


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


def test_slices_that_are_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "d")
    with pytest.raises(UserError, match="--data .*d is a pipe, not a regular file"):
        rows_to_score(None, tmp_path / "d", {}, None, None)


@pytest.mark.parametrize("own", [True, False])
def test_how_many_slices_a_table_leaves_without_a_patient_is_said(slices, tmp_path, own):
    paths = sorted((slices / "test" / "CN").iterdir())
    marks = ["?", "?", "unknown", *(f"p{number}" for number in range(len(paths) - 3))]
    (tmp_path / "t.csv").write_text("path,class,split,subject\n" + "".join(
        f"{path},CN,test,{mark}\n" for path, mark in zip(paths, marks, strict=True)))
    data, subjects = (tmp_path / "t.csv", None) if own else (slices / "test", tmp_path / "t.csv")
    rows = rows_to_score(None, data, CHECKPOINT, subjects, None)
    assert f'{tmp_path / "t.csv"}: 3 of 12 rows have no patient ("?", "unknown")' in " ".join(rows.notes)
    assert not {"?", "unknown"} & set(rows.test["subject"])
