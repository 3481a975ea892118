import os
import shlex
import signal
import sys
import threading
import traceback

import pandas as pd
import pytest

from functions.checkpointing.run_folder import (
    LOCK,
    PID_FILE,
    check_split,
    claim,
    create_run,
    losses_file,
    provenance,
    read_record,
    recorded,
    release,
    requested_device,
    this_command,
    update_record,
    write_table,
)
from functions.runtime.errors import UserError
from tests.conftest import NO_FILES
from tests.forkserver import fork_context

RECORD = {"settings": {}, "fingerprint": "f", "state": "created", "stamps": [], "class_names": ["AD", "CN"]}
SPLIT = pd.DataFrame({"path": ["a"], "class": ["AD"], "subject": ["s"], "split": ["train"]})


def test_an_existing_run_is_never_overwritten(tmp_path):
    names = [create_run("ViTModel", RECORD | {"seed": i}, SPLIT, tmp_path).name for i in range(3)]
    assert names == ["ViTModel", "ViTModel-2", "ViTModel-3"]
    assert [read_record(tmp_path / name)["seed"] for name in names] == [0, 1, 2]
    assert [read_record(tmp_path / name)["name"] for name in names] == names


def test_runs_started_at_once_get_folders_of_their_own(tmp_path, monkeypatch):
    made = []
    barrier = threading.Barrier(4)
    monkeypatch.setattr("functions.checkpointing.run_folder.os.getpid", threading.get_ident)

    def start():
        barrier.wait()
        made.append(create_run("ViTModel", {}, SPLIT, tmp_path).name)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["ViTModel", "ViTModel-2", "ViTModel-3", "ViTModel-4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(made)


def test_a_run_that_exists_is_whole(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    assert pd.read_csv(run / "split.csv").equals(SPLIT)
    update_record(run, state="running", seconds={"train": float("nan")})
    assert read_record(run)["state"] == "running"
    assert read_record(run)["seconds"] == {"train": None}


def test_no_cell_of_a_runs_tables_is_a_formula(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT.assign(**{"class": "=cmd|x", "subject": "@1"}), tmp_path)
    assert "a,'=cmd|x,'@1,train" in (run / "split.csv").read_text()
    write_table(tmp_path / "predictions.csv", pd.DataFrame({"path": ["-a.png"], "=cmd|x": [-0.5]}))
    assert (tmp_path / "predictions.csv").read_text().split() == ["path,'=cmd|x", "'-a.png,-0.5"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "/tmp", "a\nb", "n" * 200])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="plain folder name"):
        create_run(name, {}, SPLIT, tmp_path)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no run\.json"):
        read_record(tmp_path)
    for text in ("{", "{}", "[]", "null", '{"settings": {}}', '{"settings": 3, "state": "created"}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(ValueError, match="damaged"):
            read_record(tmp_path)


def test_a_file_called_runs_is_named(tmp_path):
    (tmp_path / "runs").write_text("x")
    with pytest.raises(ValueError, match="runs is a file"):
        create_run("ViTModel", RECORD, SPLIT, tmp_path / "runs")


def _refused(run, file):
    """Writes into a file why this process may not have a run."""
    try:
        claim(run)
    except ValueError as error:
        file.write_text(str(error))


def test_a_signal_while_an_error_is_recorded_does_not_hide_it(tmp_path, monkeypatch):
    """torchrun ends the other processes when one has died, while process 0 is still writing down that it is lost."""
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    format_exc = traceback.format_exc

    def interrupted_format_exc():
        os.kill(os.getpid(), signal.SIGTERM)
        return format_exc()

    monkeypatch.setattr(traceback, "format_exc", interrupted_format_exc)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(ZeroDivisionError), recorded(run):
            raise ZeroDivisionError
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_record(run)["state"] == "failed"


def test_a_run_belongs_to_one_process_and_remembers_how_it_ended(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    with recorded(run):
        assert read_record(run)["state"] == "running"
        other = fork_context().Process(target=_refused, args=(run, tmp_path / "refusal.txt"))
        other.start()
        other.join()
        assert (tmp_path / "refusal.txt").read_text().startswith(f"{run} is being trained by process {os.getpid()}")
    assert {path.name for path in run.iterdir()} == {"run.json", "split.csv"}
    (run / "process.pid").write_text("999999999")        # of a process that was killed long ago
    with pytest.raises(KeyboardInterrupt, match="--resume"), recorded(run):
        raise KeyboardInterrupt
    assert read_record(run)["state"] == "interrupted"
    with pytest.raises(ZeroDivisionError), recorded(run):
        raise ZeroDivisionError("one")
    assert read_record(run)["state"] == "failed"
    assert "ZeroDivisionError: one" in read_record(run)["error"]


def test_the_command_can_be_run_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/train.py", "--name", "two words", "--train_dir", "ünï cödé"])
    assert shlex.split(this_command()) == ["train.py", "--name", "two words", "--train_dir", "ünï cödé"]


def test_a_run_says_where_it_comes_from():
    found = provenance()
    assert {"torch", "torchvision", "numpy", "python"} <= set(found["versions"])
    assert found["commit"] is None or len(found["commit"].removesuffix("+changes")) == 40


def test_a_reader_of_the_output_that_has_gone_interrupts_a_run(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    with pytest.raises(BrokenPipeError), recorded(run):
        raise BrokenPipeError(32, "Broken pipe")
    assert read_record(run)["state"] == "interrupted"


def test_the_device_of_a_run_that_goes_on_is_its_own_unless_a_flag_names_one(tmp_path):
    run = create_run("ViTModel", RECORD | {"settings": {"device": "cuda:3"}}, SPLIT, tmp_path)
    old = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    assert [requested_device(flags) for flags in ({}, {"device": "mps"}, {"resume": run}, {"resume": old},
                                              {"resume": run, "device": "cpu"})] == [
        "auto", "mps", "cuda:3", "auto", "cpu"]
    update_record(run, settings={"device": "gpu"})
    with pytest.raises(ValueError, match="run.json: settings: device"):
        requested_device({"resume": run})


def test_the_curves_are_named_when_a_run_is_made(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path).rename(tmp_path / "another")
    assert losses_file(run, read_record(run)) == tmp_path / "another" / "ViTModel_losses.pkl"
    assert losses_file(run, {}) == tmp_path / "another" / "another_losses.pkl", "of before run.json held a name"


def test_a_name_that_differs_only_in_case_is_taken(tmp_path):
    """Windows and macOS would not tell the two folders apart."""
    names = [create_run(name, RECORD, SPLIT, tmp_path).name for name in ("ViTModel", "vitmodel", "VITMODEL-2", "other")]
    assert len({name.casefold() for name in names}) == 4, names
    assert [names[0], names[3]] == ["ViTModel", "other"]


def test_a_split_that_was_changed_or_lost_since_the_run_began_is_refused(tmp_path):
    run = create_run("ViTModel", RECORD, SPLIT, tmp_path)
    check_split(run, read_record(run))
    SPLIT.assign(split="test").to_csv(run / "split.csv", index=False)
    with pytest.raises(ValueError, match=r"split\.csv is damaged or was changed"):
        check_split(run, read_record(run))
    (run / "split.csv").unlink()
    with pytest.raises(ValueError, match=r"lost its split\.csv"):
        check_split(run, read_record(run))


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_a_record_that_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "run.json")
    with pytest.raises(UserError, match=f"is not a run folder: its run.json is {kind}"):
        read_record(tmp_path)


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_a_split_that_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "split.csv")
    with pytest.raises(UserError, match=f"split.csv is {kind}.*: restore it"):
        check_split(tmp_path, {})


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_links_and_pipes_in_place_of_a_runs_small_files_are_neither_followed_nor_waited_for(tmp_path):
    """A run's folder may come from anywhere."""
    run = create_run("run", RECORD, SPLIT, tmp_path / "runs")
    mine = tmp_path / "precious.txt"
    mine.write_text("precious")
    (run / PID_FILE).symlink_to(mine)
    claim(run)
    release(run)
    assert mine.read_text() == "precious"
    os.mkfifo(run / PID_FILE)
    claim(run)
    release(run)
    (run / LOCK).symlink_to(mine)
    with pytest.raises(UserError, match=r"process\.lock is a link"):
        claim(run)
    assert mine.read_text() == "precious"
