import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from functions.config.settings import SCRATCH
from functions.cross_validation import trainings
from functions.cross_validation.trainings import (
    FoldSplit,
    Plan,
    arguments,
    check_tune,
    read_predictions,
    start_folder,
    train_all,
    write_splits,
)
from functions.runtime.errors import UserError


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path / "runs" / "CV", "train.py", ["--epochs", "1"], ["lr=1e-3,1e-2", "dropout=0,0.1"], "digest", 2,
                1, 0)


@pytest.fixture
def splits(plan):
    return [FoldSplit(0, fold, plan.folder / f"{fold}.csv") for fold in (0, 1)]


def test_all_combinations_are_trained(plan, splits):
    assert plan.choices == [["--lr", lr, "--dropout", rate] for lr in ("1e-3", "1e-2") for rate in ("0", "0.1")]
    assert plan.trainings == 8
    assert plan.run_name(splits[1], 2) == "CV-r1f2t3"


def test_a_plan_of_which_nothing_was_trained_is_replaced(plan):
    start_folder(plan)
    (plan.folder.parent / "CV-r1fold").mkdir()                        # of another name
    start_folder(replace(plan, flags=["--epochs", "2"]))
    assert json.loads((plan.folder / "plan.json").read_text())["flags"] == ["--epochs", "2"]
    (plan.folder / "predictions.csv").touch()                         # the trainings' own folders may be removed
    with pytest.raises(UserError, match="another cross-validation"):
        start_folder(plan)


def test_the_same_plan_continues_and_another_is_refused(plan):
    (plan.folder.parent / "CV-r1f2t3").mkdir(parents=True)
    start_folder(plan)
    start_folder(plan)
    other = Plan(plan.folder, plan.script, ["--epochs", "2"], plan.tune, plan.digest, 2, 1, 0)
    with pytest.raises(UserError, match="another cross-validation, with flags --epochs 1, not --epochs 2"):
        start_folder(other)
    with pytest.raises(UserError, match="with other slices or patients"):
        start_folder(replace(plan, digest="other"))


def test_a_recipe_that_changed_since_is_refused_and_an_earlier_plan_without_settings_is_not(plan):
    (plan.folder.parent / "CV-r1f1").mkdir(parents=True)
    start_folder(replace(plan, settings={"lr": 1e-3, "recipe": Path("own.yaml"), "image_size": (96, 80)}))
    start_folder(replace(plan, settings={"lr": 1e-3, "recipe": Path("own.yaml"), "image_size": (96, 80)}))
    with pytest.raises(UserError, match=r"with lr 0\.001, not 0\.01"):
        start_folder(replace(plan, settings={"lr": 1e-2, "recipe": Path("own.yaml"), "image_size": (96, 80)}))
    (plan.folder / "plan.json").write_text(json.dumps(plan.facts()))
    start_folder(replace(plan, settings={"lr": 1e-2}))
    start_folder(replace(plan, settings={"lr": 1e-2, "of a later version": 1}))
    with pytest.raises(UserError, match="with of a later version 1, not 2"):
        start_folder(replace(plan, settings={"lr": 1e-2, "of a later version": 2}))


def test_a_folder_of_something_else_is_refused(plan):
    plan.folder.mkdir(parents=True)
    with pytest.raises(UserError, match="holds no cross-validation"):
        start_folder(plan)


def test_splits_are_files_named_by_repeat_and_fold_from_one(plan):
    start_folder(plan)
    [split] = write_splits(plan, [(0, 1, pd.DataFrame({"path": ["a"], "split": ["test"]}))])
    assert split == FoldSplit(0, 1, plan.folder / "splits" / "r1f2.csv")
    assert split.file.read_text() == "path,split\na,test\n"


@pytest.mark.parametrize("given", ["lr", "sped=1", "name=a,b", "seed=1,2", "label_smoothing=0,0.1", "lr=fast",
                                   "lr=1e-3,", "augment=true"])
def test_a_setting_that_cannot_be_chosen_by_validation_loss_is_refused(given):
    with pytest.raises(UserError, match=f"--tune {given}"):
        check_tune([given], SCRATCH)


@pytest.mark.parametrize(("tune", "flags", "what"), [
    (["lr=1e-3,1e-4", "lr=1e-5"], {}, "lr is also given by another --tune"),
    (["lr=1e-3,1e-4"], {"lr": 1e-2}, "lr is also given by another flag, --lr"),
    (["lr=1e-3,0.001"], {}, "the value 0.001 is given twice")])
def test_a_setting_or_value_that_is_given_twice_is_refused(tune, flags, what):
    with pytest.raises(UserError, match=f"--tune {tune[-1]}: {what}"):
        check_tune(tune, SCRATCH, flags)


def test_an_interrupted_run_continues_and_one_without_an_epoch_begins_again(plan, splits):
    run = plan.folder.parent / "CV-r1f1t1"
    new = arguments(plan, splits[0], ["--lr", "1"], run)
    assert new[1:] == ["--epochs", "1", "--lr", "1", "--split", str(splits[0].file), "--name", run.name]
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert arguments(plan, splits[0], ["--lr", "1"], run) == new
    assert not run.exists()
    run.mkdir()
    (run / "last.pt").touch()
    assert arguments(plan, splits[0], ["--lr", "1"], run)[1:] == ["--resume", str(run)]


def test_only_what_is_not_finished_runs_and_its_weights_are_removed(plan, splits, monkeypatch):
    finished_before = {"CV-r1f1t1", "CV-r1f2t4"}
    monkeypatch.setattr(trainings, "is_finished", lambda run: run.name in finished_before)
    ran, counts = [], []

    def fake_jobs(jobs, parallel, environments, finished):
        for job in jobs:
            ran.append(job.name)
            run = plan.folder.parent / job.name
            run.mkdir(parents=True)
            for name in ("best.pt", "metrics.json"):
                (run / name).touch()
            finished(job)

    monkeypatch.setattr(trainings, "run_jobs", fake_jobs)
    plan.folder.mkdir(parents=True)
    train_all(plan, splits, 1, [{}], False, counts.append)
    assert len(ran) == 6
    assert not finished_before & set(ran)
    assert counts == [2, 3, 4, 5, 6, 7, 8]
    left = {file.name for name in ran for file in (plan.folder.parent / name).iterdir()}
    assert left == {"metrics.json"}


def test_a_fold_uses_the_setting_with_the_smallest_validation_loss_at_its_selected_epoch(plan, splits, monkeypatch):
    """In fold 1 the third setting has it; its test scores are not read for that."""
    losses = {"CV-r1f1t3": [0.9, 0.1], "CV-r1f2t1": [0.2, 0.9]}
    best = {"CV-r1f1t3": 2, "CV-r1f2t1": 1}

    def fake_results(run):
        metrics = type("M", (), {"best_epoch": best.get(run.name, 1), "caveats": ["DEMO"]})
        return metrics, None, {"val_loss": losses.get(run.name, [0.5, 0.0])}

    monkeypatch.setattr(trainings, "read_results", fake_results)
    for split in splits:
        for number in range(4):
            run = plan.folder.parent / plan.run_name(split, number)
            run.mkdir(parents=True)
            table = {"path": [f"{split.fold}.png"], "subject": ["007"], "label": ["AD"], "AD": [number / 4]}
            pd.DataFrame(table).to_csv(run / "predictions.csv", index=False)
    plan.folder.mkdir(exist_ok=True)
    table, notes, caveats = read_predictions(plan, splits)
    assert table["AD"].tolist() == [2 / 4, 0.0]
    assert table["subject"].tolist() == ["007", "007"]
    assert caveats == ["DEMO"]
    assert "--lr 1e-2 --dropout 0 in 1 of 2 folds" in notes[0]
    written = pd.read_csv(plan.folder / "predictions.csv")
    assert written["fold"].tolist() == [1, 2]
    assert json.dumps(plan.facts())
