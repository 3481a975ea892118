import json
import re
import shutil
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from functions.evaluation.evaluation import read_metrics
from tests.conftest import NO_FILES


@pytest.fixture
def call_evaluate(call_script):
    import evaluate

    return lambda *arguments: call_script(evaluate.main, *arguments)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, which a test may damage."""
    return shutil.copytree(finished, tmp_path / "runs" / "ViTModel")


def test_a_runs_own_test_patients_give_its_own_predictions_again(drawn, run, call_evaluate):
    code, out, err = call_evaluate("runs/ViTModel")
    assert (code, err) == (0, "")
    ours = pd.read_csv(run / "evaluation/predictions.csv").set_index("path")
    theirs = pd.read_csv(run / "predictions.csv").set_index("path")
    np.testing.assert_allclose(ours.loc[theirs.index, ["AD", "CN"]], theirs[["AD", "CN"]], atol=1e-5)
    evaluated = read_metrics(run / "evaluation/metrics.json").test
    trained = read_metrics(run / "metrics.json").test
    for name, score in trained.patient.scores.items():
        assert evaluated.patient.scores[name].value == pytest.approx(score.value, abs=1e-5, nan_ok=True), name
    assert "nearest pixel neighbour" in out
    assert "temperature" in out
    assert "Scores per patient" in (run / "report.html").read_text()
    assert all(min(Image.open(picture).size) > 300 for picture in (run / "evaluation").glob("*.png"))


def test_a_run_is_compared_with_a_baseline_and_asked_for_predictive_values(run, call_evaluate):
    code, out, err = call_evaluate("runs/ViTModel", "--against", "constant", "--prevalence", 0.1)
    assert (code, err) == (0, "")
    found = read_metrics(run / "evaluation/metrics.json").test
    assert found.rival == "constant"
    accuracy = found.patient.scores["accuracy"]
    assert found.against["accuracy"].value == pytest.approx(accuracy.value - accuracy.constant)
    assert "minus constant, per patient, accuracy" in out
    assert "fewer than 5 healthy or fewer than 5 diseased test patients" in out
    assert len(found.clinical.notes) == 1
    code, _, err = call_evaluate("runs/ViTModel", "--against", "./constant")
    assert (code, err.count("\n")) == (2, 1), "a folder, which does not exist"
    assert call_evaluate("runs/ViTModel", "--prevalence", 1)[0] == 2


def test_a_best_checkpoint_of_another_run_is_refused(run, call_train, call_evaluate, arguments, tmp_path):
    call_train("--epochs", 1, *arguments, "--seed", 5)
    (run / "best.pt").unlink()
    shutil.copy(tmp_path / "runs/ViTModel-2/best.pt", run / "best.pt")
    code, _, err = call_evaluate("runs/ViTModel")
    assert code == 2
    assert "runs/ViTModel/best.pt was written by another run than runs/ViTModel/run.json describes" in err
    assert err.count("\n") == 1
    assert call_evaluate("runs/ViTModel-2", "--against", "runs/ViTModel")[0] == 2


def test_patients_who_were_trained_on_are_refused_by_name_and_by_pixels(run, call_evaluate, slices, tmp_path):
    code, _, err = call_evaluate("runs/ViTModel", "--data", slices)
    assert code == 2
    assert "18 of 24 slices are of patients (by id)" in err
    assert "was trained on: give slices of other patients, or --allow_seen" in err
    assert err.count("\n") == 1
    renamed = tmp_path / "renamed"
    for number, path in enumerate(sorted((slices / "train").rglob("*.png"))):
        target = renamed / path.parent.name / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert "are copies of slices (by pixels), that runs/ViTModel/best.pt was trained on" in call_evaluate(
        "runs/ViTModel", "--data", renamed)[2]
    code, out, _ = call_evaluate("runs/ViTModel", "--data", renamed, "--allow_seen", "--out", tmp_path / "seen")
    assert code == 0
    assert "PATIENTS SEEN IN TRAINING" in out
    assert "PATIENTS SEEN IN TRAINING" in (tmp_path / "seen/report.html").read_text()
    assert json.loads((tmp_path / "seen/metrics.json").read_text())["caveats"] == [
        "PATIENTS UNKNOWN", "PATIENTS SEEN IN TRAINING"]
    assert not (run / "evaluation").exists()


def test_new_patients_are_scored_without_the_runs_folder(run, call_evaluate, tmp_path):
    generator = np.random.default_rng(9)
    for name, level in (("AD", 90), ("CN", 150)):
        for person in range(6):
            folder = tmp_path / "new" / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(generator.normal(level, 20, (16, 12)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"sub-new{name}{person}_z0.png")
    shutil.copy(run / "best.pt", tmp_path / "alone.pt")
    code, out, err = call_evaluate("alone.pt", "--data", "new", "--order", "CN,AD")
    assert (code, err) == (0, "")
    assert "per patient, n = 12" in out
    assert (tmp_path / "evaluation-new/metrics.json").is_file()


def test_another_hospitals_patients_may_have_the_same_ids_and_an_archives_may_not(call_train, call_evaluate, arguments,
                                                                                   slices, tmp_path):
    """sub-AD00 of another set is scored; 003_S_0002 is refused under any notation."""
    generator = np.random.default_rng(9)
    shutil.copytree(slices, tmp_path / "ours")
    first = sorted((tmp_path / "ours/train/AD").iterdir())[0]
    first.rename(first.with_name("ADNI_003_S_0002_MR_88.png"))
    (tmp_path / "other/CN").mkdir(parents=True)
    for name in ("AD", "CN"):
        for person in range(12):
            (tmp_path / "other" / name).mkdir(exist_ok=True)
            pixels = generator.integers(0, 255, (16, 12)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "other" / name / f"sub-{name}{person:02d}_z0.png")
    code, _, err = call_train("--epochs", 1, *arguments, "--train_dir", tmp_path / "ours/train", "--test_dir",
                              tmp_path / "ours/test", "--split", "folder")
    assert (code, err) == (0, "")
    code, out, err = call_evaluate("runs/ViTModel", "--data", "other")
    assert (code, err) == (0, "")
    assert "24 patients here have ids of training patients (sub-AD00, sub-AD01, sub-AD02, …)" in out
    assert "PATIENTS SEEN" not in out
    assert json.loads((tmp_path / "runs/ViTModel/evaluation-other/metrics.json").read_text())["caveats"] == []
    sorted((tmp_path / "other/AD").iterdir())[0].rename(tmp_path / "other/AD/sub-ADNI003S0002_ses-M00_T1w_z3.png")
    assert "1 of 24 slices are of patients (by id)" in call_evaluate("runs/ViTModel", "--data", "other")[2]


def test_a_leaky_run_is_refused_too(call_train, call_evaluate, arguments, tmp_path):
    call_train("--epochs", 1, "--split", "folder", *arguments)
    assert "--allow_seen" in call_evaluate("runs/ViTModel")[2]
    code, out, _ = call_evaluate("runs/ViTModel", "--allow_seen")
    assert code == 0
    assert "LEAKY SPLIT, PATIENTS SEEN IN TRAINING" in out
    test = read_metrics(tmp_path / "runs/ViTModel/evaluation/metrics.json").test
    judged = [score.verdict for score in test.patient.scores.values() if score.verdict]
    assert judged == ["better, on patients it was trained on"]
    for page in ("report.html", "evaluation/report.html"):
        assert "PATIENTS SEEN IN TRAINING" in (tmp_path / "runs/ViTModel" / page).read_text()


def test_a_rival_that_was_trained_on_these_patients_is_refused(run, call_train, call_evaluate, arguments):
    call_train("--epochs", 1, *arguments[:-1], 4, "--name", "rival")              # another seed: another split
    code, _, err = call_evaluate("runs/ViTModel", "--against", "runs/rival")
    assert code == 2
    assert "runs/rival/best.pt was trained on" in err
    code, out, _ = call_evaluate("runs/ViTModel", "--against", "runs/rival/best.pt", "--allow_seen")
    assert code == 0
    assert "minus runs/rival/best.pt, per patient, accuracy" in out
    assert "PATIENTS SEEN IN TRAINING" in out


def test_a_rival_is_scored_with_its_own_weights_and_its_own_preprocessing(run, call_evaluate, tmp_path):
    """The differences are those of the two evaluations made one by one."""
    rival = torch.load(run / "best.pt", weights_only=True)
    rival["preprocessing"] |= {"mean": [0.9], "std": [0.05]}
    rival["weights"]["classifier.bias"] += torch.tensor([0.7, 0.0])
    torch.save(rival, run / "rival.pt")
    call_evaluate("runs/ViTModel", "--against", "runs/ViTModel/rival.pt", "--out", "both")
    split = pd.read_csv(run / "split.csv")
    split[split["split"] == "test"].to_csv(tmp_path / "test.csv", index=False)
    call_evaluate("runs/ViTModel/rival.pt", "--data", "test.csv", "--out", "rival")
    both, theirs = (read_metrics(tmp_path / name / "metrics.json").test for name in ("both", "rival"))
    for name, row in both.against.items():
        ours, other = (found.patient.scores[name].value for found in (both, theirs))
        assert row.value == pytest.approx(ours - other, abs=1e-6), name
    assert abs(both.against["brier"].value) > 0.01


def without(checkpoint_file, name):
    """An older checkpoint, that lacks an entry."""
    checkpoint = torch.load(checkpoint_file, weights_only=True)
    del checkpoint[name]
    torch.save(checkpoint, checkpoint_file)


def test_an_old_checkpoint_is_told_by_its_split_or_stamped(run, call_evaluate, slices):
    without(run / "best.pt", "seen")
    assert call_evaluate("runs/ViTModel")[:1] == (0,)
    assert "18 of 24 slices are of patients (by id)" in call_evaluate("runs/ViTModel", "--data", slices)[2]
    assert "TRAINING PATIENTS UNKNOWN" in call_evaluate("runs/ViTModel/best.pt", "--data", slices)[1]


def test_new_slices_of_a_run_keep_its_temperature_and_neighbours(run, call_evaluate, slices, tmp_path):
    """One unknown patient of one class, in 16 bits, in a folder with a space and a foreign letter."""
    folder = tmp_path / "neue Köpfe" / "CN"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 60000, (16, 12)).astype(np.uint16)
    Image.fromarray(pixels).save(folder / "1.png")
    (tmp_path / "neue Köpfe" / "readme.txt").touch()
    code, out, err = call_evaluate("runs/ViTModel", "--data", "neue Köpfe")
    assert (code, err) == (0, "")
    for words in ("PATIENTS UNKNOWN", "temperature", "nearest pixel neighbour", "not scored",
                  "per slice, n = 1", "1 files or folders are left out"):
        assert words in out, words
    assert "nan" not in out
    assert "per patient" not in out
    metrics = json.loads((run / "evaluation-neue Köpfe/metrics.json").read_text())
    assert metrics["test"]["slice"]["scores"]["auroc"]["value"] is None
    page = (run / "evaluation-neue Köpfe/report.html").read_text()
    assert "nan" not in re.sub('data:image[^"]*', "", page)


def test_bad_input_is_one_line_and_exit_code_2(run, call_evaluate, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    mine = "runs/ViTModel"
    for given, complaint in (
            (["runs/none"], "no such file"), ([mine, "--order", "AD"], "--order"),
            ([mine, "--order", "AD,CN,X"], "once"),
            ([mine, "--data", "nowhere"], "nowhere"), ([mine, "--against", "runs/none"], "no such file"),
            ([f"{mine}/best.pt"], "needs --data"), ([mine, "--subjects", "x.csv"], "--data is missing"),
            ([mine, "--data", "empty"], "holds no class folders"), ([mine, "--out", "file/x"], "file"),
            ([mine, "--data", "runs"], 'class "ViTModel", of runs/ViTModel/'), ([], "RUN_OR_CHECKPOINT")):
        code, _, err = call_evaluate(*given)
        assert (code, err.count("\n")) == (2, 1), given
        assert err.startswith("error: ")
        assert complaint in err
    assert not (run / "evaluation").exists()


def test_a_damaged_run_is_one_line_and_exit_code_2(run, call_evaluate):
    """Each file of the run damaged or lost in turn; then everything put back, and it works."""
    for name, content, complaint in (
            ("run.json", "{", "run.json is damaged"), ("run.json", None, "no run.json"),
            ("split.csv", "path,class\n", "missing or repeated columns: subject"), ("split.csv", None, "no split.csv"),
            ("metrics.json", "{}", "metrics.json is damaged"), ("metrics.json", None, "no metrics.json"),
            ("results.csv", "epoch\n1\n", "columns: train_loss"), ("results.csv", None, "no results.csv"),
            ("best.pt", "x", "is damaged"),
            ("best.pt", None, "no such file")):
        kept = (run / name).read_bytes()
        (run / name).unlink()
        if content is not None:
            (run / name).write_text(content)
        code, _, err = call_evaluate("runs/ViTModel")
        assert (code, err.count("\n")) == (2, 1), (name, content, err)
        assert complaint in err
        (run / name).write_bytes(kept)
    (run.parent / "audit-x").mkdir()
    (run.parent / "audit-x" / "audit.json").write_text("{}")
    assert call_evaluate("runs/ViTModel")[0] == 0, "another program's damaged file is told, and no reason to fail"
    assert 'is damaged: "data" is missing' in unescape((run / "report.html").read_text())


def test_stamps_of_training_stay_on_other_slices_but_that_of_its_own_split(run, call_evaluate, tmp_path):
    checkpoint = torch.load(run / "best.pt", weights_only=True)
    torch.save(checkpoint | {"stamps": ["LEAKY SPLIT", "RANDOM WEIGHTS"]}, run / "stamped.pt")
    split = pd.read_csv(run / "split.csv")
    split[split["split"] == "test"].to_csv(tmp_path / "test.csv", index=False)
    call_evaluate("runs/ViTModel/stamped.pt", "--data", "test.csv", "--out", "out")
    assert json.loads((tmp_path / "out/metrics.json").read_text())["caveats"] == ["RANDOM WEIGHTS"]


def test_a_runs_folder_is_no_place_for_an_evaluation(run, call_evaluate, tmp_path):
    """Its metrics.json would be lost, and with it the run's results."""
    before = (run / "metrics.json").read_bytes()
    shutil.copytree(run, tmp_path / "other")
    for out in ("runs/ViTModel", "other"):
        code, _, err = call_evaluate("runs/ViTModel", "--out", out)
        assert (code, err.count("\n")) == (2, 1)
        assert f"--out {out} is a run's folder" in err
        assert (tmp_path / out / "metrics.json").read_bytes() == before


def test_a_split_that_was_edited_is_not_scored(run, call_evaluate):
    file = run / "split.csv"
    file.write_text(file.read_text().replace(",AD,", ",CN,", 1))
    code, _, err = call_evaluate("runs/ViTModel")
    assert (code, err.count("\n")) == (2, 1)
    assert "split.csv is damaged or was changed since this run began" in err


def test_a_checkpoint_whose_answers_are_not_finite_is_named_and_not_scored(run, call_evaluate):
    checkpoint = torch.load(run / "best.pt", weights_only=True)
    checkpoint["weights"]["patch_embedding.project.weight"].fill_(3e38)
    torch.save(checkpoint, run / "huge.pt")
    code, _, err = call_evaluate("runs/ViTModel/huge.pt", "--data", run / "split.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "checkpoint runs/ViTModel/huge.pt: non-finite probabilities at precision" in err


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
@pytest.mark.parametrize("name", ["run.json", "split.csv", "metrics.json", "results.csv", "best.pt"])
def test_what_stands_in_the_place_of_a_runs_file_is_called_what_it_is(run, call_evaluate, kind, make, name):
    (run / name).unlink()
    make(run / name)
    code, _, err = call_evaluate("runs/ViTModel")
    assert (code, err.count("\n")) == (2, 1)
    assert name in err
    assert kind in err
