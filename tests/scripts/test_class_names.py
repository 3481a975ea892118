"""Any folder name that a file system allows works from training to the report, or is refused before epoch 1."""

import json
import os
import shutil

import pandas as pd
import pytest

NAMES = (r"$\frac$ a,b", "NA")          # a formula to matplotlib, a column break to CSV; a missing value to pandas


def renamed(slices, target, names, splits=("train", "test")):
    """The slices, with other names for the classes and for the split folders."""
    for split, folder in zip(("train", "test"), splits, strict=True):
        for old, new in zip(("AD", "CN"), names, strict=True):
            shutil.copytree(slices / split / old, target / folder / new)


@pytest.fixture
def tiny(arguments):
    """The flags of a tiny model, without those of its data."""
    return arguments[arguments.index("--model"):]


def test_odd_names_work_from_training_to_the_report(drawn, call_train, call_script, slices, tiny, tmp_path):
    import evaluate

    renamed(slices, tmp_path / "D", NAMES, ("Training", "TESTING"))
    (tmp_path / "D" / "Training" / NAMES[1] / "\x1b[31mred.dcm").touch()
    code, out, err = call_train("--epochs", 1, "--train_dir", "D", *tiny)
    assert (code, err) == (0, "")
    assert "split folders: train is D/Training, test is D/TESTING" in out
    assert r"\x1b[31mred.dcm" in out
    assert "\x1b" not in out
    order = ",".join(reversed(NAMES))
    code, out, err = call_script(evaluate.main, "runs/ViTModel", "--order", order)
    assert (code, err) == (0, "")
    predictions = pd.read_csv(tmp_path / "runs/ViTModel/evaluation/predictions.csv", keep_default_na=False)
    assert set(NAMES) < set(predictions.columns)
    assert set(predictions["label"]) == set(NAMES)
    metrics = json.loads((tmp_path / "runs/ViTModel/evaluation/metrics.json").read_text())
    assert metrics["test"]["order"] == list(reversed(NAMES))


@pytest.mark.parametrize("name", [" Mild", "stamps", "(all)", "path", "a\nb", "\x1b[31m", os.fsdecode(b"M\xe9d")])
def test_names_that_cannot_work_are_refused_before_a_run_is_made(call_train, slices, tiny, tmp_path, name):
    renamed(slices, tmp_path / "D", ("CN", name))
    code, _, err = call_train("--epochs", 1, "--train_dir", "D", *tiny)
    assert code == 2
    assert "rename it" in err
    assert err.count("\n") == 1
    assert err.strip().isprintable()
    assert not list(tmp_path.glob("runs/*")), "no run folder, no .part"


def test_a_file_name_that_is_no_text_is_refused_before_a_run_is_made(call_train, slices, tiny, tmp_path):
    renamed(slices, tmp_path / "D", ("AD", "CN"))
    source = next((tmp_path / "D" / "train" / "AD").iterdir())
    shutil.copy(source, source.with_name(os.fsdecode(b"\xff.png")))
    code, _, err = call_train("--epochs", 1, "--train_dir", "D", *tiny)
    assert code == 2
    assert r"D/train/AD/\xff.png is not UTF-8" in err
    assert not list(tmp_path.glob("runs/*"))
