import functools
import json
import re
import runpy
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from functions.runtime.errors import UserError
from tests.conftest import ROOT
from tests.functions.reports.test_run_groups import record
from tools.compare_runs import four_number_scores, four_number_split, table


@pytest.fixture
def call_compare(call_script):
    path = str(ROOT / "tools" / "compare_runs.py")
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
        scored = json.loads((tmp_path / "runs" / name / "metrics.json").read_text())["test"]["patient"]["scores"]
        values.append(scored["accuracy"]["value"])
    mean = sum(values) / 2
    cells = row(out, "ViT accuracy")
    assert cells[:2] == [f"{value:.3f}" for value in values]
    assert cells[2].startswith(f"{mean:.3f} ± ")
    assert row(out, "ViT auroc_disease")[:2] == ["-", "-"], "of four people a class"
    brightness_tells = row(out, "four numbers accuracy")[:2]
    assert all(float(value) > 0.5 for value in brightness_tells), "the tiny set's classes differ in brightness"
    difference = [ours - float(theirs) for ours, theirs in zip(values, brightness_tells, strict=True)]
    shown = [float(cell) for cell in row(out, "ViT - four numbers accuracy")[:2]]
    assert shown == pytest.approx(difference, abs=2e-3)
    assert re.search(r"test patients: \d+, \d+", out)


def test_leaky_runs_are_not_compared_per_patient_with_four_numbers(call_train, call_compare, arguments):
    call_train("--epochs", 1, "--split", "folder", *arguments)
    code, _, err = call_compare("runs/ViTModel")
    assert code == 2
    assert "has the caveats LEAKY SPLIT" in err
    code, out, _ = call_compare("runs/ViTModel", "--no_four_numbers")
    assert code == 0
    assert out.startswith("ViTModel: LEAKY SPLIT")
    assert "four numbers auroc" not in out
    assert len(row(out, "ViT slice accuracy")) == 2


def test_what_is_no_finished_run_is_refused_in_one_line(call_compare, paused_run):
    for folder, complaint in (("runs/ViTModel", "is paused"), ("nowhere", "no run.json")):
        code, _, err = call_compare(folder)
        assert code == 2
        assert complaint in err
        assert err.count("\n") == 1


def test_a_damaged_run_is_refused_in_one_line(call_compare, short_run):
    (short_run / "metrics.json").write_text("{}")
    code, _, err = call_compare("runs/ViTModel")
    assert (code, err.count("\n")) == (2, 1)
    assert 'metrics.json is damaged: "test" is missing' in err


def found(value, **more):
    return {"patients": 8, "scored": frozenset(("AD", "CN")), ("network", "accuracy"): value,
            ("constant", "accuracy"): 0.5, ("network - four numbers", "accuracy"): value - 0.4} | more


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_only_runs_that_differ_in_seed_alone_are_averaged_and_a_resnet_is_no_vit(tmp_path):
    runs = [tmp_path / name for name in "abcde"]
    records = [record(0), record(0, model="resnet18"), record(1), record(2), record(1, model="resnet18", lr=1)]
    head, _, network, constant, difference = table(runs, records, [found(v) for v in (0.5, 0.9, 0.6, 0.7, 0.8)])
    assert cells(head) == ["score", "a (vit_b_16)", "c (vit_b_16)", "d (vit_b_16)", "mean ± SD of 3 seeds (vit_b_16)",
                           "b (resnet18)", "e (resnet18)"]
    assert cells(network) == ["network accuracy", "0.500", "0.600", "0.700", "0.600 ± 0.100", "0.900", "0.800"]
    assert cells(constant)[0] == "constant accuracy"
    assert cells(difference)[:2] == ["network - four numbers accuracy", "0.100"]
    head, _, network, *_ = table(runs[:2], [record(s, model="resnet50") for s in (0, 1)], [found(0.5), found(0.7)])
    assert cells(head) == ["score", "a", "b", "mean ± SD"]
    assert cells(network) == ["ResNet accuracy", "0.500", "0.700", "0.600 ± 0.141"]


def test_a_mean_over_some_of_the_runs_says_so(tmp_path):
    rows = [found(0.5), found(float("nan")), found(0.7)]
    *_, network, _, _ = table([tmp_path / name for name in "abc"], [record(s) for s in (0, 1, 2)], rows)
    assert cells(network)[1:] == ["0.500", "-", "0.700", "0.600 ± 0.141 (2 of 3)"]


def test_runs_that_score_other_classes_have_no_mean_over_classes(tmp_path):
    rows = [found(0.5, scored=frozenset(of)) | {("network", "balanced_accuracy"): 0.6} for of in (("a", "b"), "abc")]
    *_, accuracy, _, _, balanced = table([tmp_path / "x", tmp_path / "y"], [record(0), record(1)], rows)
    assert cells(accuracy)[1:] == ["0.500", "0.500", "0.500 ± 0.000"]
    assert cells(balanced)[1:] == ["0.600", "0.600", "- (2 or 3 classes)"]


def test_which_classes_a_run_scores_is_read_from_its_patients(call_compare, short_run, tmp_path):
    """The second gets one patient of a class too few: its slices are as many."""
    shutil.copytree(short_run, tmp_path / "runs/ViTModel-2")
    for few, run in enumerate(("ViTModel", "ViTModel-2")):
        file = tmp_path / "runs" / run / "metrics.json"
        metrics = json.loads(file.read_text())
        for number, one in enumerate(metrics["test"]["patient"]["classes"]):
            one["patients"] = 4 if few and number == 0 else 9
        for unit in ("slice", "patient"):
            metrics["test"][unit]["scores"]["balanced_accuracy"]["value"] = 0.5
        file.write_text(json.dumps(metrics))
    _, out, _ = call_compare("runs/ViTModel", "runs/ViTModel-2", "--no_four_numbers")
    for name in ("ViT balanced_accuracy", "ViT slice balanced_accuracy"):
        assert row(out, name)[:3] == ["0.500", "0.500", "- (1 or 2 classes)"]
    assert out.splitlines()[-1].startswith("- (… classes): no mean over runs")


def test_a_run_is_not_counted_twice(call_compare):
    code, _, err = call_compare("runs/x", "runs/../runs/x")
    assert (code, err.count("\n")) == (2, 1)
    assert "is given twice" in err


@pytest.mark.parametrize(("content", "complaint"), [
    ("path,class,subject,split\n", "no rows"), ("path,class\n", "columns: subject"), ("\x80", "no rows|missing"),
    ("path,class,subject,split\na,AD,,train\nb,CN,P,test\n", "has slices of unknown patients"),
    ("path,class,subject,split\na,AD,Q,train\nb,XX,P,test\n", 'class "XX" is none of AD, CN'),
    ("path,class,subject,split\na,AD,Q,train\nb,CN,P,test\n", "fewer than two classes"),
    ("path,class,subject,split\na,AD,Q,train\nb,CN,P,train\n", "no test slices"),
    ("path,class,subject,split\na,AD,Q,train\nb,CN,P,val\nc,CN,R,test\n", "3 of 3 slices of .* do not exist"),
])
def test_a_split_that_four_numbers_cannot_use_is_one_line(content, complaint, tmp_path):
    (tmp_path / "split.csv").write_text(content)
    with pytest.raises(UserError, match=complaint):
        four_number_split(tmp_path, record() | {"stamps": []})


def test_paths_start_where_the_run_was_started(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    for name in "abc":
        (tmp_path / "there" / name).touch()
    (tmp_path / "split.csv").write_text("path,class,subject,split\na,AD,Q,train\nb,CN,P,val\nc,CN,R,test\n")
    monkeypatch.chdir(tmp_path)
    split = four_number_split(tmp_path, record(cwd=str(tmp_path / "there")) | {"stamps": []})
    assert split["path"].tolist() == [str(tmp_path / "there" / name) for name in "abc"]


def test_every_score_stands_in_its_own_row(call_compare, short_run):
    """Scores of a run made up so that all differ: value and constant, per patient and per slice."""
    file = short_run / "metrics.json"
    metrics, number = json.loads(file.read_text()), 0.1
    for unit in ("patient", "slice"):
        for name in ("auroc_disease", "balanced_accuracy", "accuracy"):
            for what in ("value", "constant"):
                number += 0.01
                metrics["test"][unit]["scores"][name] |= {what: number, "low": None, "high": None}
    file.write_text(json.dumps(metrics))
    _, out, _ = call_compare("runs/ViTModel", "--no_four_numbers")
    for name in ("auroc_disease", "balanced_accuracy", "accuracy"):
        for title, unit, what in (("", "patient", "value"), (" slice", "slice", "value"),
                                  ("constant", "patient", "constant")):
            [shown] = [line for line in out.splitlines()
                       if line.startswith("|") and line.split("|")[1].strip().endswith(f"{title} {name}")
                       and ("slice" in line) == (title == " slice") and ("constant" in line) == (title == "constant")]
            assert f"{metrics['test'][unit]['scores'][name][what]:.3f}" in shown


def test_the_four_numbers_learn_from_validation_too_and_keep_each_patients_class(tmp_path):
    """Of training a person each would teach the opposite; the ids' order is not that of the rows."""
    rows = []
    people = [(f"sub-{number:02d}", name, dark, side)
              for number, (name, dark, side) in enumerate(
                  [("AD", 30, "train"), ("CN", 120, "train"), *[("AD", 120, "val"), ("CN", 30, "val")] * 9,
                   *[("AD", 120, "test"), ("CN", 30, "test")] * 5])]
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


def test_patients_of_too_few_slices_name_the_run_and_what_to_do(call_train, call_compare, arguments):
    place = arguments.index("--test_dir")
    call_train("--epochs", 1, *arguments[:place], *arguments[place + 2:])
    code, _, err = call_compare("runs/ViTModel")
    assert (code, err.count("\n")) == (2, 1)
    assert "runs/ViTModel: patient " in err
    assert "has 3 slices, four numbers need at least 4 (--no_four_numbers compares such runs)" in err
    assert call_compare("runs/ViTModel", "--no_four_numbers")[0] == 0


def test_a_patient_of_two_labels_counts_once_for_each(tmp_path):
    """As in every other score of patients: five come twice, at the second visit of a later stage."""
    rows = []
    people = [(f"sub-{number:02d}", name, 30 if name == "CN" else 120, side) for number, (name, side) in enumerate(
        [("AD", "train"), ("CN", "train")] * 6 + [("CN", "test")] * 10)]
    people += [(subject, "AD", 120, side) for subject, name, _, side in people if side == "test"][:5]
    for subject, name, dark, side in people:
        for z in range(4):
            pixels = np.full((20, 16), 200, dtype=np.uint8)
            pixels.flat[:dark] = 40
            path = tmp_path / f"{subject}_{name}_z{z}.png"
            Image.fromarray(pixels).save(path)
            rows.append({"path": str(path), "class": name, "subject": subject, "split": side})
    found = four_number_scores(pd.DataFrame(rows), ["AD", "CN"], 1)
    assert (found["accuracy"], found["balanced_accuracy"], found["auroc_disease"]) == (1, 1, 1)
    few = pd.DataFrame(rows[:-4])
    assert np.isnan(four_number_scores(few, ["AD", "CN"], 1)["auroc_disease"]), "four patients are diseased at a visit"
    later = pd.DataFrame([row for row in rows[:-4] if row["split"] == "test" and row["class"] == "AD"])
    both = pd.concat([few, later.assign(**{"class": "MCI"})])
    assert np.isnan(four_number_scores(both, ["AD", "MCI", "CN"], 2)["auroc_disease"]), "still four, at two visits each"
    few = pd.DataFrame(rows[:-1])
    with pytest.raises(UserError, match="patient sub-16, AD has 3 slices"):
        four_number_scores(few, ["AD", "CN"], 1)
