"""Two runs at once: under one name they get two folders, and one run is never trained twice."""

import json
from functools import partial

from tests.survival import runs
from tests.survival.faults import at_epoch, wait


def test_two_runs_started_at_once_under_one_name_get_two_whole_folders(tmp_path, whole, command):
    processes = [runs.start(tmp_path, *command) for _ in range(2)]
    for process in processes:
        assert runs.finish(process, tmp_path).code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["ViTModel", "ViTModel-2"]
    for name in names:
        run = tmp_path / "runs" / name
        assert json.loads((run / "run.json").read_text())["state"] == "finished"
        for file in ("predictions.csv", "split.csv", "metrics.json"):
            assert (run / file).read_bytes() == (whole / runs.RUN / file).read_bytes()


def test_of_two_that_go_on_with_one_run_the_second_is_refused_and_disturbs_nothing(tmp_path, whole, command):
    runs.run(tmp_path, *command, "--stop_after", 1)
    first = runs.start(tmp_path, "--resume", runs.RUN, fault=partial(at_epoch, 1, wait, tmp_path / "waiting"))
    runs.until((tmp_path / "waiting").exists, first)
    before = {path.name: path.read_bytes() for path in (tmp_path / runs.RUN).iterdir()}
    runs.one_line(runs.go_on(tmp_path, command), 2, f"is being trained by process {first.pid}")
    assert {path.name: path.read_bytes() for path in (tmp_path / runs.RUN).iterdir()} == before
    first.kill()
    assert runs.finish(first, tmp_path).code == -9
    ended = runs.go_on(tmp_path, command)
    assert (ended.code, ended.err) == (0, ""), "the lock of a killed process is free at once"
    runs.assert_same(tmp_path, whole)


def test_a_name_that_differs_only_in_case_is_taken(tmp_path, command):
    for name in ("Mine", "mine"):
        assert runs.run(tmp_path, *command, "--epochs", 1, "--name", name).code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["Mine", "mine-2"]
