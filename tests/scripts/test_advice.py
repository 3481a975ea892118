"""No script's message advises a flag that the script lacks, unless it names the script that has it."""

import json
import re
import runpy
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPTS = {name: ROOT / f"{name}.py" for name in ("evaluate", "audit", "tools/compare_runs", "tools/results_table",
                                                 "train", "train_transferlearning")}


@pytest.fixture(scope="module")
def flags():
    """script → the flags that its --help names."""
    found = {}
    for name, path in SCRIPTS.items():
        text = subprocess.run([sys.executable, path, "--help"], capture_output=True, text=True, check=True).stdout
        found[name] = set(re.findall(r"--\w+", text))
    return found


def advised(message, script):
    """(flag, the script it is advised for) of each flag in a message."""
    for match in re.finditer(r"(?:python (\S+)\.py [^;:,()]*?|(training script's ))?(--\w+)", message):
        yield match[3], match[1] or ("train" if match[2] else script)


def test_every_flag_in_an_error_is_one_that_the_script_has(call_train, call_script, arguments, slices, flags, tmp_path):
    call_train("--epochs", 2, "--stop_after", 1, "--split", "folder", *arguments)
    run, paused = tmp_path / "runs/ViTModel", "runs/ViTModel"
    record = json.loads((run / "run.json").read_text())

    def finished(**changes):
        (run / "run.json").write_text(json.dumps(record | {"state": "finished"} | changes))

    metrics = {"test": {}, "best_epoch": 1, "largest": "AD", "stamps": []}
    cases = [("evaluate", [paused], None), ("tools/compare_runs", [paused], None),
             ("tools/results_table", [paused], None), ("evaluate", [paused], finished),
             ("tools/compare_runs", [paused], None),
             ("evaluate", [paused], lambda: (run / "metrics.json").write_text(json.dumps(metrics))),
             ("tools/compare_runs", [paused, paused], None), ("evaluate", [f"{paused}/best.pt"], None),
             ("evaluate", [paused, "--data", slices], None), ("evaluate", [paused, "--data", "nowhere"], None),
             ("evaluate", [paused, "--data", slices, "--subjects", "no.csv"], None),
             ("evaluate", [paused, "--data", slices, "--subject_pattern", "("], None),
             ("evaluate", [paused, "--data", slices, "--subject_pattern", "x"], None),
             ("evaluate", [paused, "--order", "x"], None), ("audit", ["nowhere"], None), ("audit", [run], None),
             ("audit", [slices, "--subjects", "no.csv"], None),
             ("evaluate", [paused], lambda: (run / "best.pt").write_bytes(b"x")),
             ("evaluate", [paused], lambda: (run / "run.json").write_text("{}"))]
    complaints = 0
    for script, given, before in cases:
        if before:
            before()
        path = str(SCRIPTS[script])
        code, _, err = call_script(lambda path=path: runpy.run_path(path, run_name="__main__"), *given)
        assert (code, err.count("\n")) == (2, 1), (script, given, err)
        for flag, owner in advised(err, script):
            complaints += 1
            assert flag in flags[owner], f"{script} {given}: {err}"
    assert complaints > 5, "some messages advise flags"
