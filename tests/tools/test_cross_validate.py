import functools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from functions.cross_validation import trainings

TOOL = Path(__file__).resolve().parents[2] / "tools" / "cross_validate.py"


def run(monkeypatch, *arguments):
    """The exit code of the tool in this process."""
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    try:
        runpy.run_path(str(TOOL), run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    return 0


@pytest.fixture
def in_this_process(call_train, monkeypatch):
    """The trainings run in this process, one after the other: run_jobs has tests of its own."""
    def run_jobs(jobs, parallel, environments, finished):
        assert len(environments) == parallel
        for job in jobs:
            assert Path(job.arguments[0]).name == "train.py"
            code, _, error = call_train(*job.arguments[1:])
            assert code == 0, error
            finished(job)

    monkeypatch.setattr(trainings, "run_jobs", run_jobs)


def test_every_patient_is_tested_once_and_the_same_command_continues(in_this_process, arguments, tmp_path, monkeypatch,
                                                                     capsys):
    monkeypatch.chdir(tmp_path)
    command = ("--folds", "2", "--jobs", "2", "--name", "CV", "train.py", *arguments, "--epochs", "1")
    assert run(monkeypatch, *command) == 0
    shown = capsys.readouterr().out
    assert "24 patients, each tested once in each of 1 repeat(s) of 2 folds" in shown
    assert "minus four numbers" in shown
    table = pd.read_csv("runs/CV/predictions.csv")
    assert len(table) == 96
    assert table["path"].is_unique
    assert set(table["fold"]) == {1, 2}
    for fold in (1, 2):
        split = pd.read_csv(f"runs/CV-r1f{fold}/split.csv")
        tested = set(table[table["fold"] == fold]["subject"])
        assert tested == set(split[split["split"] == "test"]["subject"])
        assert not tested & set(split[split["split"] != "test"]["subject"])
        assert not any("test" in name for name in pd.read_csv(f"runs/CV-r1f{fold}/results.csv"))
    assert not list(Path("runs").glob("CV-*/*.pt"))
    scores = json.loads(Path("runs/CV/metrics.json").read_text())["scores"]
    before = Path("runs/CV-r1f1/run.json").stat().st_mtime_ns
    assert run(monkeypatch, *command) == 0
    assert "2 of 2 trainings finished" in capsys.readouterr().out
    assert Path("runs/CV-r1f1/run.json").stat().st_mtime_ns == before
    assert json.loads(Path("runs/CV/metrics.json").read_text())["scores"] == scores
    assert run(monkeypatch, *command, "--lr", "0.5") == 2
    assert "holds another cross-validation" in capsys.readouterr().err


def test_what_is_wrong_with_a_clinical_table_is_printed_before_the_trainings(arguments, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainings, "run_jobs", stop)
    (tmp_path / "t.csv").write_text("subject,age,sex\nAD00,70,F\nAD00,80,M\nAD01,71,\n")
    assert run(monkeypatch, "--folds", "2", "train.py", *arguments, "--epochs", "1", "--table", "t.csv") == 130
    shown = capsys.readouterr().out
    assert "88 of 96 images have no row" in shown
    assert "CHECK: t.csv: 1 patients have two sexes, the first sub-AD00 (F and M)" in shown


def test_test_curves_are_there_when_asked_for(in_this_process, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--folds", "2", "--name", "CV", "--show_test", "train.py", *arguments, "--epochs", "1") == 0
    assert "test_acc" in pd.read_csv("runs/CV-r1f2/results.csv")


def test_a_patient_with_too_few_slices_is_a_note_in_place_of_the_four_numbers(slices):
    from data_setup.loading.cohort import Cohort

    paths = sorted(str(path) for path in slices.rglob("sub-CN00*.png"))[:3]
    table = pd.DataFrame({"path": paths, "class": "CN", "subject": "sub-CN00"})
    found, note = runpy.run_path(str(TOOL))["four_numbers"](Cohort(table, np.zeros((1, 3), dtype=int)), None)
    assert found is None
    assert "patient sub-CN00, CN has 3 slices" in note


@pytest.mark.parametrize(("given", "message"), [
    (("--folds", "0", "train.py"), "at least 1"), (("evaluate.py",), "invalid choice"),
    (("train.py", "--split", "folder"), "--split cannot be given"),
    (("train.py", "--demo", "--folds", "3"), "--folds is an option of this tool: give it before train.py"),
    (("train.py", "--hide_test"), "--hide_test cannot be given"),
    (("--tune", "lr=1e-3,1e-4", "train.py", "--demo", "--lr", "1e-2"), "lr is also given by another flag"),
    (("--tune", "lr", "train.py", "--demo"), "--tune lr"),
    (("train.py", "--epohcs", "3"), "did you mean --epochs"), (("--name", "a/b", "train.py", "--demo"), "plain folder"),
])
def test_bad_arguments_are_one_line(given, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("tuned", [False, True])
def test_weights_that_changed_under_their_name_are_refused(slices, tmp_path, monkeypatch, capsys, tuned):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainings, "run_jobs", functools.partial(_raise, KeyboardInterrupt))
    save_file({"w": torch.ones(3)}, "other.safetensors")
    command = ("--folds", "2", "--name", "CV", *(["--tune", "weights=other.safetensors,w.safetensors"] * tuned),
               "train_transferlearning.py", "--train_dir", slices / "train", "--test_dir", slices / "test",
               *(() if tuned else ("--weights", "w.safetensors")))
    Path("runs/CV-r1f1").mkdir(parents=True)
    Path("runs/CV-r1f1/last.pt").touch()                # a training has begun
    for value, code in ((0.0, 130), (0.0, 130), (1.0, 2)):
        save_file({"w": torch.full((2,), value)}, "w.safetensors")
        assert run(monkeypatch, *command) == code
    assert "runs/CV holds another cross-validation, with weights_sha256 " in capsys.readouterr().err


def _raise(error, *arguments):
    raise error
