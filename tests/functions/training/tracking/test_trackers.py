"""What trackers are given, by their own readers. Whole runs are followed in tests/scripts/test_following.py."""

import json
import sys
import types
from argparse import Namespace

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from functions.runtime.errors import UserError
from functions.training.tracking import trackers
from functions.training.tracking.trackers import check_installed, tracking

RECORD = {"run_id": "abc", "settings": {"lr": 0.1, "epochs": 3}, "state": "running"}
BOTH, NONE = Namespace(tensorboard=True, wandb=True), Namespace(tensorboard=False, wandb=False)
TENSORBOARD, WANDB = Namespace(tensorboard=True, wandb=False), Namespace(tensorboard=False, wandb=True)


def table(epochs):
    """results.csv after so many epochs."""
    return pd.DataFrame({"epoch": range(1, epochs + 1), "train_loss": [1 / (e + 3) for e in range(epochs)],
                         "val_acc": [0.1 * e for e in range(epochs)], "learning_rate": [1e-7] * epochs})


class Wandb(types.ModuleType):
    """In wandb's place: what it is given, and a server on which runs go on by their id."""

    class Error(Exception):
        pass

    def __init__(self):
        super().__init__("wandb")
        self.errors, self.Settings = types.SimpleNamespace(Error=Wandb.Error), dict
        self.started, self.steps, self.ended, self.failing = [], {}, [], ""

    def init(self, **given):
        if self.failing == "init":
            raise Wandb.Error("No API key configured.\n  Use `wandb login`.")
        self.started.append(given)
        rows = self.steps.setdefault(given["id"], {})

        def log(row, step):
            if self.failing == "log":
                raise OSError("no connection")
            assert step > max(rows, default=-1), "wandb ignores steps that do not increase"
            rows[step] = row

        def finish(exit_code):
            if self.failing == "finish":
                raise OSError("no connection")
            self.ended.append(exit_code)

        return types.SimpleNamespace(log=log, finish=finish, step=max(rows, default=-1) + 1)


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return module


def follow(settings, folder, first, last, record=RECORD):
    """Epochs `first` to `last` of a run."""
    with tracking(settings, folder, record, table(first - 1)) as track:
        for epoch in range(first, last + 1):
            track(table(epoch))


def read_events(folder):
    """{tag: [(step, value)]}, and the last text of run.json."""
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return scalars, events.Tensors("run.json/text_summary")[-1].tensor_proto.string_val[0].decode()


def assert_equal_to_table(scalars, expected):
    assert scalars.keys() == set(expected) - {"epoch"}
    for column, values in scalars.items():
        assert [step for step, _ in values] == expected["epoch"].tolist()
        assert [value for _, value in values] == pytest.approx(expected[column].tolist(), rel=1e-6)


def test_tensorboard_has_every_column_of_results_csv_at_its_epoch(tmp_path, capsys):
    follow(TENSORBOARD, tmp_path, 1, 3)
    scalars, text = read_events(tmp_path)
    assert_equal_to_table(scalars, table(3))
    assert json.loads(text.strip("`\n")) == RECORD
    assert f"tensorboard --logdir {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize("before", [TENSORBOARD, NONE])
def test_a_resumed_run_has_every_epoch_once(tmp_path, before):
    """It was killed in epoch 4, whose number was logged and not saved; or it was not followed until then."""
    follow(before, tmp_path, 1, 4)
    follow(TENSORBOARD, tmp_path, 3, 5)
    assert_equal_to_table(read_events(tmp_path)[0], table(5))


def test_each_epoch_can_be_read_while_the_run_goes_on(tmp_path):
    with tracking(TENSORBOARD, tmp_path, RECORD, table(0)) as track:
        track(table(1))
        assert_equal_to_table(read_events(tmp_path)[0], table(1))


def test_wandb_has_the_rows_of_results_csv_under_the_runs_name_and_id(tmp_path, wandb):
    follow(WANDB, tmp_path / "mine", 1, 3)
    [given] = wandb.started
    assert (given["project"], given["name"], given["id"], given["config"]) == (
        "ViT-Dementia", "mine", "abc", RECORD["settings"])
    assert given["dir"] == str(tmp_path / "mine"), "nothing is written elsewhere"
    assert wandb.steps["abc"] == {row["epoch"]: row for row in table(3).to_dict("records")}
    assert wandb.ended == [0]


def test_a_resumed_wandb_run_goes_on_with_its_id_and_repeats_no_step(tmp_path, wandb):
    follow(WANDB, tmp_path, 1, 3)
    follow(NONE, tmp_path, 4, 4)
    follow(WANDB, tmp_path, 5, 6)
    assert [given["resume"] for given in wandb.started] == ["allow"] * 2
    assert wandb.steps == {"abc": {row["epoch"]: row for row in table(6).to_dict("records")}}


def test_the_project_is_that_of_the_environment_and_a_run_without_id_gets_one_of_wandbs(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "stages")
    follow(WANDB, tmp_path, 1, 1, RECORD | {"run_id": ""})
    assert (wandb.started[0]["project"], wandb.started[0]["id"]) == ("stages", None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError, ZeroDivisionError])
def test_logs_are_closed_however_a_run_ends(tmp_path, wandb, error):
    def run():
        with tracking(BOTH, tmp_path, RECORD, table(0)) as track:
            track(table(1))
            raise error

    with pytest.raises(error):
        run()
    assert wandb.ended == [1]
    assert_equal_to_table(read_events(tmp_path)[0], table(1))


@pytest.mark.parametrize("failing", ["log", "finish"])
def test_a_tracker_that_fails_is_one_warning_and_the_run_goes_on(tmp_path, wandb, capsys, failing):
    with tracking(BOTH, tmp_path, RECORD, table(0)) as track:
        track(table(1))
        wandb.failing = failing
        for epoch in range(2, 5):
            track(table(epoch))
    out = capsys.readouterr().out
    assert out.count("WARNING") == 1
    assert "--wandb is switched off, it failed (OSError: no connection)" in out
    assert_equal_to_table(read_events(tmp_path)[0], table(4))


def test_a_wandb_that_cannot_start_is_one_line_with_what_to_do(tmp_path, wandb):
    wandb.failing = "init"
    with pytest.raises(UserError, match=r"--wandb: No API key configured\. Use `wandb login`; .*WANDB_MODE") as refusal:
        follow(WANDB, tmp_path, 1, 1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("settings", "module"), [(TENSORBOARD, "torch.utils.tensorboard"), (WANDB, "wandb")])
def test_a_missing_package_is_one_line_that_says_how_to_install_it(settings, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)              # import raises ImportError
    package = module.rpartition(".")[2]
    with pytest.raises(UserError, match=rf"^--{package} needs .*pip install {package}, or give --no_{package}$"):
        check_installed(settings)
    check_installed(NONE)


def test_only_process_0_logs_and_nothing_is_logged_unasked(tmp_path, wandb, monkeypatch):
    follow(NONE, tmp_path, 1, 2)
    monkeypatch.setattr(trackers, "is_main", lambda: False)
    follow(BOTH, tmp_path, 1, 2)
    assert (list(tmp_path.iterdir()), wandb.started) == ([], [])
