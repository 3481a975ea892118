import functools
import json
import re
import runpy

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import ROOT


@pytest.fixture
def call_compare(call_script):
    path = str(ROOT / "tools" / "compare.py")
    return functools.partial(call_script, lambda: runpy.run_path(path, run_name="__main__"))


def row(out, name):
    [line] = [line for line in out.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_runs_stand_beside_guessing_and_four_numbers_on_the_same_people(call_train, call_compare, arguments, tmp_path):
    for seed in (0, 1):
        call_train("--epochs", 1, *arguments, "--seed", seed)
    code, out, err = call_compare("runs/ViTModel", "runs/ViTModel-2")
    assert (code, err) == (0, "")
    values = []
    for name in ("ViTModel", "ViTModel-2"):
        scored = json.loads((tmp_path / "runs" / name / "metrics.json").read_text())["test"]["patient"]
        values.append(scored["auroc_disease"]["value"])
    mean = sum(values) / 2
    cells = row(out, "ViT auroc_disease")
    assert cells[:2] == [f"{value:.3f}" for value in values]
    assert cells[2].startswith(f"{mean:.3f} ± ")
    assert row(out, "constant auroc_disease")[:2] == ["0.500", "0.500"]
    brightness_tells = row(out, "four numbers auroc_disease")[:2]
    assert all(float(value) > 0.8 for value in brightness_tells), "the tiny set's classes differ in brightness"
    difference = [ours - float(theirs) for ours, theirs in zip(values, brightness_tells, strict=True)]
    shown = [float(cell) for cell in row(out, "ViT - four numbers auroc_disease")[:2]]
    assert shown == pytest.approx(difference, abs=2e-3)
    assert re.search(r"test people: \d+, \d+", out)


def test_leaky_runs_are_not_compared_per_patient_with_four_numbers(call_train, call_compare, arguments):
    call_train("--epochs", 1, "--split", "folder", *arguments)
    code, _, err = call_compare("runs/ViTModel")
    assert code == 2
    assert "stamped LEAKY SPLIT" in err
    code, out, _ = call_compare("runs/ViTModel", "--no_four_numbers")
    assert code == 0
    assert out.startswith("ViTModel: LEAKY SPLIT")
    assert "four numbers auroc" not in out
    assert len(row(out, "ViT slice accuracy")) == 2


def test_what_is_no_finished_run_is_refused_in_one_line(call_train, call_compare, arguments, tmp_path):
    call_train("--epochs", 2, "--stop_after", 1, *arguments)
    for folder, complaint in (("runs/ViTModel", "is paused"), ("nowhere", "no run.json")):
        code, _, err = call_compare(folder)
        assert code == 2
        assert complaint in err
        assert err.count("\n") == 1


def test_a_damaged_run_is_refused_in_one_line(call_train, call_compare, arguments, tmp_path):
    call_train("--epochs", 1, *arguments)
    (tmp_path / "runs/ViTModel/metrics.json").write_text("{}")
    code, _, err = call_compare("runs/ViTModel")
    assert (code, err.count("\n")) == (2, 1)
    assert "metrics.json is damaged" in err


def test_every_score_stands_in_its_own_row(call_train, call_compare, arguments, tmp_path):
    """Scores of a run made up so that all differ: value and constant, per patient and per slice."""
    call_train("--epochs", 1, *arguments)
    file = tmp_path / "runs/ViTModel/metrics.json"
    metrics, number = json.loads(file.read_text()), 0.1
    for unit in ("patient", "slice"):
        for name in ("auroc_disease", "balanced_accuracy", "accuracy"):
            for what in ("value", "constant"):
                number += 0.01
                metrics["test"][unit][name][what] = number
    file.write_text(json.dumps(metrics))
    _, out, _ = call_compare("runs/ViTModel", "--no_four_numbers")
    for name in ("auroc_disease", "balanced_accuracy", "accuracy"):
        for title, unit, what in (("", "patient", "value"), (" slice", "slice", "value"),
                                  ("constant", "patient", "constant")):
            [shown] = [line for line in out.splitlines()
                       if line.startswith("|") and line.split("|")[1].strip().endswith(f"{title} {name}")
                       and ("slice" in line) == (title == " slice") and ("constant" in line) == (title == "constant")]
            assert f"{metrics['test'][unit][name][what]:.3f}" in shown


def test_the_four_numbers_learn_from_validation_too_and_keep_each_patients_class(tmp_path):
    """Of training a person each would teach the opposite; the ids' order is not that of the rows."""
    from tools.compare import four_number_scores

    rows = []
    people = [(f"sub-{number:02d}", name, dark, side)
              for number, (name, dark, side) in enumerate(
                  [("AD", 30, "train"), ("CN", 120, "train"), *[("AD", 120, "val"), ("CN", 30, "val")] * 9,
                   *[("AD", 120, "test"), ("CN", 30, "test")] * 3])]
    generator = np.random.default_rng(0)
    for subject, name, dark, side in (people[row] for row in generator.permutation(len(people))):
        for z in range(4):
            pixels = generator.integers(150, 250, (20, 16), dtype=np.uint8)
            pixels.flat[:dark] = 40
            path = tmp_path / f"{subject}_z{z}.png"
            Image.fromarray(pixels).save(path)
            rows.append({"path": str(path), "class": name, "subject": subject, "split": side})
    found = four_number_scores(pd.DataFrame(rows), ["AD", "CN"], 1)
    assert (found["accuracy"], found["auroc_disease"]) == (1, 1)
