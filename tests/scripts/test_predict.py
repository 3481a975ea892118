import csv
import io
import json
import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from functions.runtime import terminal
from tests.conftest import save_noise


@pytest.fixture
def call_predict(call_script):
    import predict

    return lambda *arguments: call_script(predict.main, *arguments)


@pytest.fixture(scope="module")
def predicted(finished, tmp_path_factory):
    """A copy of a finished run with its reference.pt, to be copied."""
    from tests.forkserver import finish, start

    folder = tmp_path_factory.mktemp("predicted")
    run = shutil.copytree(finished, folder / "runs" / "ViTModel")
    paths = pd.read_csv(run / "split.csv")["path"]
    ended = finish(start(folder, "predict", "runs/ViTModel", paths[0]), folder)
    assert (ended.code, (run / "reference.pt").is_file()) == (0, True), ended
    return run


@pytest.fixture
def run(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "runs" / "ViTModel")


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_probabilities_are_those_of_the_runs_own_predictions(run, call_predict, tmp_path):
    theirs = pd.read_csv(run / "predictions.csv").set_index("path")
    code, out, err = call_predict("runs/ViTModel", *theirs.index, "--out", "new.csv")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == (f"note: {len(theirs)} images of {theirs['subject'].nunique()} patients: "
                                    "0 unreadable, 0 seen in training, 0 out of distribution")
    ours = pd.read_csv(tmp_path / "new.csv").set_index("path")
    assert list(ours.index) == list(theirs.index)
    np.testing.assert_allclose(ours[["AD", "CN"]], theirs[["AD", "CN"]], atol=1e-5)
    assert (ours["prediction"] == ours[["AD", "CN"]].idxmax(axis=1)).all()
    assert (ours["subject"] == theirs["subject"]).all()
    patients = pd.read_csv(tmp_path / "new_patients.csv").set_index("subject")
    means = theirs.groupby("subject")[["AD", "CN"]].mean()
    np.testing.assert_allclose(patients.loc[means.index, ["AD", "CN"]], means, atol=1e-5)
    assert (patients["slices"] == theirs.groupby("subject").size()).all()


def test_the_same_command_gives_the_same_bytes(run, call_predict, slices, tmp_path):
    for name in ("a.json", "b.json"):
        assert call_predict("runs/ViTModel", slices / "test", "--tta", "--out", name)[0] == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    content = json.loads((tmp_path / "a.json").read_text())
    assert len(content["images"]) == 24
    assert {row["subject"] for row in content["patients"]} == {row["subject"] for row in content["images"]}


def test_no_file_ends_the_run(run, call_predict, slices, tmp_path):
    good = sorted((slices / "test" / "AD").glob("*.png"))[0]
    folder = tmp_path / "mixed" / "deep" / "deeper"
    folder.mkdir(parents=True)
    shutil.copy(good, folder / "good.png")
    (folder / "text.png").write_text("no image")
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes(good.read_bytes()[:60])
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(good.read_bytes())
    (tmp_path / "mixed" / "notes.txt").write_text("about")
    code, out, err = call_predict("runs/ViTModel", "mixed")
    assert code == 1
    rows = {row["path"].rpartition("/")[2]: row for row in rows_of(out)}
    assert {name for name, row in rows.items() if row["prediction"]} == {"good.png", "\\xff.png"}
    for name in ("text.png", "empty.jpg", "cut.png", "gone.png"):
        assert rows[name]["error"], name
        assert "mixed" not in rows[name]["error"], "the path has its own column"
        assert rows[name]["AD"] == rows[name]["out_of_distribution"] == ""
    assert "1 files or folders are not images and are left out" in err
    assert "notes.txt" in err
    assert "6 images of 0 patients" not in err
    assert "6 images: 4 unreadable" in err


def test_a_patient_or_a_slice_of_training_is_marked(run, call_predict, tmp_path):
    split = pd.read_csv(run / "split.csv").set_index("path")
    trained, tested = (split[split["split"] == part] for part in ("train", "test"))
    (tmp_path / "new").mkdir()
    shutil.copy(trained.index[0], tmp_path / "new" / "a.png")                     # equal pixels under another name
    other = tmp_path / "new" / f"{trained['subject'].iloc[0]}_z9.png"             # an id, outside the data set
    save_noise(other, size=(16, 12))
    code, out, err = call_predict("runs/ViTModel", trained.index[0], tested.index[0], "new")
    assert code == 0
    seen = {row["path"].rpartition("/")[2]: row["seen_in_training"] for row in rows_of(out)}
    assert seen[trained.index[0].rpartition("/")[2]] == "pixels"
    assert seen[tested.index[0].rpartition("/")[2]] == "no"
    assert (seen["a.png"], seen[other.name]) == ("pixels", "no")
    assert f"1 patients have ids of training patients ({trained['subject'].iloc[0]}) and are not marked" in err
    folder = trained.index[0].rpartition("/")[0]
    beside = f"{folder}/{trained['subject'].iloc[0]}_z9.png"
    shutil.copy(other, beside)                                                    # in the training data's folders
    try:
        assert rows_of(call_predict("runs/ViTModel", beside)[1])[0]["seen_in_training"] == "patient"
    finally:
        os.remove(beside)


def test_colour_photographs_and_strange_images_are_flagged(run, call_predict, slices, tmp_path):
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(tmp_path / "colour.png")
    Image.fromarray(np.tile(np.array([0, 0, 255, 255], np.uint8), (16, 3))).save(tmp_path / "stripes.png")
    code, out, err = call_predict("runs/ViTModel", "colour.png", "stripes.png", slices / "test")
    assert code == 0
    first, second, *rest = rows_of(out)
    assert (first["out_of_distribution"], second["out_of_distribution"]) == ("colour", "features")
    assert float(second["novelty"]) > 1
    assert sum(row["out_of_distribution"] != "no" for row in rest) <= 4
    assert all((float(row["novelty"]) > 1) == (row["out_of_distribution"] == "features") for row in rest)


def test_a_checkpoint_alone_says_what_it_cannot_tell(run, call_predict, slices, tmp_path):
    shutil.copy(run / "best.pt", tmp_path / "alone.pt")
    code, out, err = call_predict("alone.pt", slices / "test")
    assert code == 0
    assert all(row["out_of_distribution"] == "" for row in rows_of(out))
    assert "out-of-distribution images are not flagged" in err
    assert "altered copies of training slices are not recognised" in err
    digests = call_predict("alone.pt", pd.read_csv(run / "split.csv").query("split == 'train'")["path"].iloc[0])[1]
    assert rows_of(digests)[0]["seen_in_training"] == "pixels"


def test_mirrored_views_are_averaged(run, call_predict, slices, tmp_path):
    path = sorted((slices / "test" / "CN").glob("*.png"))[0]
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirror.png")

    def probability(*arguments):
        return [float(row["AD"]) for row in rows_of(call_predict("runs/ViTModel", *arguments)[1])]

    both = probability(path, "mirror.png")
    assert both[0] != both[1]
    assert probability(path, "mirror.png", "--tta") == pytest.approx([np.mean(both)] * 2, abs=1e-6)


def test_a_terminal_gets_a_table(run, call_predict, slices, monkeypatch):
    monkeypatch.setattr(terminal.SafeOutput, "isatty", lambda self: True, raising=False)
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True)
    code, out, _ = call_predict("runs/ViTModel", slices / "test" / "AD")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["prediction", "probability", "image"]
    assert lines[14].split()[:3] == ["prediction", "probability", "patient"]
    assert "1 slice" in lines[15]


def test_overlays_are_written_one_per_image(drawn, run, call_predict, slices, tmp_path):
    paths = sorted((slices / "test" / "AD").glob("*.png"))[:2]
    code, out, _ = call_predict("runs/ViTModel", *paths, "--attention", "maps")
    assert code == 0
    files = [row["attention"] for row in rows_of(out)]
    assert files == [f"maps/{number:06d}_{path.stem}.png" for number, path in enumerate(paths, 1)]
    assert all(min(Image.open(tmp_path / file).size) > 200 for file in files)


@pytest.mark.parametrize(("given", "complaint"), [
    (["nowhere.png"], "nowhere.png: no such file or folder"),
    (["*.bmp"], "*.bmp matches no file"),
    (["a.png", "--out", "b.xlsx"], "--out b.xlsx: the file's ending must be .csv or .json"),
    (["a.png", "--out", "no/b.csv"], "--out no/b.csv is in no, which is not a folder"),
    (["a.png", "--out", "runs/ViTModel/predictions.csv"], "is in a run's folder, among the run's own files"),
    (["a.png", "--attention", "."], "--attention . holds images to predict: name another folder"),
    (["a.png", "--subjects", "none.csv"], "none.csv"),
    (["a.png", "--subject_pattern", "(?P<subject>zz)"], "assigns no subject to any of 1 paths"),
])
def test_bad_input_is_one_line(run, call_predict, tmp_path, given, complaint):
    save_noise(tmp_path / "a.png")
    before = (run / "predictions.csv").read_bytes()
    code, out, err = call_predict("runs/ViTModel", *given)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert complaint in err
    assert (run / "predictions.csv").read_bytes() == before


def test_a_damaged_reference_is_named(run, call_predict, tmp_path):
    save_noise(tmp_path / "a.png")
    (run / "reference.pt").write_bytes((run / "reference.pt").read_bytes()[:200])
    code, _, err = call_predict("runs/ViTModel", "a.png")
    assert code == 2
    assert "runs/ViTModel/reference.pt is damaged" in err
    assert "remove it" in err
