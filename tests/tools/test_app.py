import csv
import os
import re
import runpy
import shutil
import signal
import socket
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

import predict
from functions.evaluation.calibration import apply_temperature
from functions.prediction.reference import NAME
from tests.conftest import ROOT
from tests.forkserver import finish, start
from tools.app import load_app


@pytest.fixture
def call_app(call_script):
    path = str(ROOT / "tools" / "app.py")
    return lambda *arguments: call_script(lambda: runpy.run_path(path, run_name="__main__"), *arguments)


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_the_answer_is_that_of_predict_with_the_temperature_of_validation(run, call_script, tmp_path):
    """And what predict.py marks is flagged: a training slice, and a copy of one."""
    split = read_csv(run / "split.csv")
    test, [train, *_] = ([row["path"] for row in split if row["split"] == part] for part in ("test", "train"))
    pixels = np.asarray(Image.open(train)).astype(int)
    Image.fromarray((pixels * 0.9 + 8).astype(np.uint8)).save(tmp_path / "altered.png")
    paths = [*test[:2], train, str(tmp_path / "altered.png")]
    _, predictor, notes = load_app(run, "cpu")
    assert notes == []
    answer = predictor.answer(paths)
    code, _, err = call_script(predict.main, run, *paths, "--out", "x.csv", "--device", "cpu")
    assert code == 0, err
    rows = read_csv(tmp_path / "x.csv")
    p = np.array([[float(row["AD"]), float(row["CN"])] for row in rows])
    shown = np.array([found.probabilities for found in answer.slices])
    np.testing.assert_allclose(shown, apply_temperature(p, predictor.temperature), atol=1e-4)
    assert predictor.temperature != 1
    assert [found.row.seen for found in answer.slices] == [row["seen_in_training"] for row in rows]
    assert [row["seen_in_training"] for row in rows] == ["no", "no", "pixels", "pixels"]
    assert [found.row.outside for found in answer.slices] == [row["out_of_distribution"] for row in rows]
    assert answer.slices[2].similar[0].distance < 1e-2
    assert answer.slices[2].similar[0].path == train


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_reference_of_tta_is_that_of_the_page(run, slices, call_script):
    """predict.py --tta must not write probabilities of mirrored slices into the file that the page calibrates with."""
    load_app(run, "cpu")
    written = (run / NAME).read_bytes()
    (run / NAME).unlink()
    code, _, err = call_script(predict.main, run, slices / "test" / "AD", "--tta", "--device", "cpu")
    assert code == 0, err
    assert (run / NAME).read_bytes() == written


def test_a_checkpoint_alone_is_not_calibrated_and_says_what_is_unknown(run, slices, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(run / "best.pt", tmp_path / "alone")
    _, predictor, notes = load_app(tmp_path / "alone" / "best.pt", "cpu")
    assert (predictor.reference, predictor.temperature) == (None, None)
    assert [note.split(":")[0] for note in notes] == [
        "a checkpoint without its run folder", "altered copies of training slices are not recognised, equal pixels and "
        "ids are", "out-of-distribution images are not flagged"]
    [path] = [str(path) for path in sorted((slices / "train" / "AD").iterdir())[:1]]
    assert predictor.answer([path]).slices[0].row.seen == "pixels"


def test_ids_of_training_patients_elsewhere_are_a_note_of_that_answer_only(run, slices, tmp_path):
    _, predictor, _ = load_app(run, "cpu")
    name = sorted((slices / "train" / "AD").iterdir())[0].name
    generator = np.random.default_rng(5)
    for file in (name, "other.png"):
        Image.fromarray(generator.integers(0, 256, (16, 12), dtype=np.uint8)).save(tmp_path / file)
    assert "1 patients have ids of training patients" in predictor.answer([str(tmp_path / name)]).notes[0]
    assert predictor.answer([str(tmp_path / "other.png")]).notes == []


def test_what_cannot_work_is_one_line(run, call_app, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, out, err = call_app(run, "--port", port)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: --port {port} cannot be used .*\n", err)
    for port in (0, 80, 70000):
        assert call_app(run, "--port", port)[0] == 2
    code, _, err = call_app("nowhere", "--port", free_port())
    assert (code, err.count("\n")) == (2, 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "functions.app.environment", raising=False)
    code, _, err = call_app(run)
    assert (code, err) == (2, "error: the page needs Gradio, which is not installed: pip install -r "
                              "requirements-app.txt\n")


def free_port():
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def test_the_page_is_served_until_it_is_stopped_and_leaves_nothing(run, tmp_path):
    port = free_port()
    (tmp_path / "tmp").mkdir()
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    process = start(tmp_path, "tools.app", run, "--port", port, "--device", "cpu", before=temporary_folder)
    deadline = time.monotonic() + 240
    while not (tmp_path / "out.txt").exists() or "http" not in (tmp_path / "out.txt").read_text():
        assert process.is_alive(), (tmp_path / "err.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert "gradio" in opener.open(f"http://127.0.0.1:{port}/", timeout=60).read().decode()
    [folder] = (tmp_path / "tmp").iterdir()
    assert folder.name.startswith("vit-dementia-app-")
    os.kill(process.pid, signal.SIGTERM)
    ended = finish(process, tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"http://127.0.0.1:{port}/ (Ctrl-C stops it; research only, not a diagnosis)\nstopped\n"
    assert list((tmp_path / "tmp").iterdir()) == []
    assert {path.name for path in run.iterdir()} - {path.name for path in before} == {"reference.pt"}
    assert {path.name for path in tmp_path.iterdir()} == {"run", "tmp", "out.txt", "err.txt"}


def temporary_folder():
    import tempfile

    tempfile.tempdir = os.path.abspath("tmp")
