import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@pytest.fixture
def call_evaluate(call_script):
    import evaluate

    return lambda *arguments: call_script(evaluate.main, *arguments)


@pytest.fixture
def run(call_train, arguments, tmp_path):
    call_train("--epochs", 3, *arguments)
    return tmp_path / "runs" / "ViTModel"


def test_a_runs_own_test_patients_give_its_own_predictions_again(run, call_evaluate):
    code, out, err = call_evaluate("runs/ViTModel")
    assert (code, err) == (0, "")
    ours = pd.read_csv(run / "evaluation/predictions.csv").set_index("path")
    theirs = pd.read_csv(run / "predictions.csv").set_index("path")
    np.testing.assert_allclose(ours.loc[theirs.index, ["AD", "CN"]], theirs[["AD", "CN"]], atol=1e-5)
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    final = json.loads((run / "metrics.json").read_text())["test"]
    assert metrics["patient"]["scores"]["accuracy"]["value"] == pytest.approx(final["patient"]["accuracy"]["value"])
    assert "nearest pixel neighbour" in out
    assert "temperature" in out
    assert "Scores per patient" in (run / "report.html").read_text()


def test_patients_who_were_trained_on_are_refused_by_name_and_by_pixels(run, call_evaluate, slices, tmp_path):
    code, _, err = call_evaluate("runs/ViTModel", "--data", slices)
    assert code == 2
    assert "was trained on: give slices of other patients, or --allow_seen" in err
    assert err.count("\n") == 1
    renamed = tmp_path / "renamed"
    for number, path in enumerate(sorted((slices / "train").rglob("*.png"))):
        target = renamed / path.parent.name / f"{number:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert "pixels that" in call_evaluate("runs/ViTModel", "--data", renamed)[2]
    code, out, _ = call_evaluate("runs/ViTModel", "--data", renamed, "--allow_seen", "--out", tmp_path / "seen")
    assert code == 0
    assert "PATIENTS SEEN IN TRAINING" in out
    assert "PATIENTS SEEN IN TRAINING" in (tmp_path / "seen/report.html").read_text()
    assert json.loads((tmp_path / "seen/metrics.json").read_text())["stamps"] == ["PATIENTS SEEN IN TRAINING"]


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
    assert "per patient, 12 of them" in out
    assert (tmp_path / "evaluation/metrics.json").is_file()


def test_a_leaky_run_is_refused_too(call_train, call_evaluate, arguments):
    call_train("--epochs", 1, "--split", "folder", *arguments)
    assert "--allow_seen" in call_evaluate("runs/ViTModel")[2]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [(["runs/none"], "no such file"), (["runs/ViTModel", "--order", "AD"], "--order"),
     (["runs/ViTModel", "--data", "nowhere"], "nowhere"), (["runs/ViTModel", "--against", "runs/none"], "no such file"),
     (["runs/ViTModel/best.pt"], "needs --data")],
)
def test_bad_input_is_one_line_and_exit_code_2(run, call_evaluate, given, complaint):
    code, _, err = call_evaluate(*given)
    assert code == 2
    assert err.startswith("error: ")
    assert complaint in err
    assert err.count("\n") == 1
