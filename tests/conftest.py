import functools
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import frozen

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--model", "vit_ti_16", "--image_size", "16x12", "--patch_size", "4", "--in_channels", "1", "--embedding_dim",
        "12", "--num_heads", "3", "--mlp_size", "20", "--num_transformer_layer", "2", "--batch_size", "16"]

# What can stand in a file's place: how it is made, and what messages call it.
NO_FILES = {"a folder, not a file": Path.mkdir, "a pipe, not a regular file": os.mkfifo}

# As `make test` does, before torch is imported: a sum by two threads has other last bits than one by a single thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test cuts the power: a file is whole after a kill without it, and a disk takes some milliseconds each time.
os.fsync = lambda descriptor: None


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    frozen.hold()
    try:
        return (yield)
    finally:
        frozen.release()


def make_slices(root):
    """12 people of each of two classes with 4 slices; CN is brighter; every person stands in train and in test."""
    generator = np.random.default_rng(0)
    for name, level in (("AD", 90), ("CN", 150)):
        for person in range(12):
            bright = generator.normal(level, 25)
            for z in range(4):
                folder = root / ("test" if z == 3 else "train") / name
                folder.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(generator.normal(bright, 20, (16, 12)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"sub-{name}{person:02d}_z{z}.png")


def save_noise(path, seed=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(path, "PNG")


@pytest.fixture(scope="session")
def slices(tmp_path_factory):
    """The folder of some slices (`make_slices`)."""
    root = tmp_path_factory.mktemp("slices")
    make_slices(root)
    return root


@pytest.fixture(scope="session")
def arguments(slices):
    """A run of a few hundred milliseconds an epoch."""
    return ["--train_dir", str(slices / "train"), "--test_dir", str(slices / "test"), *TINY, "--seed", "3"]


def leave_blank(change=setattr):
    """Figures are made, but each is saved as one pixel: ticks, layout and drawing are most of a tiny run's time.

    `change` is setattr or monkeypatch.setattr.
    """
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    change(Figure, "savefig", _save_blank)
    change(Axis, "grid", lambda axis, *arguments, **options: None)      # it makes an axis's ticks
    change(Figure, "findobj", lambda figure, match: [])      # `as_written` asks for all texts: every tick would be made


def _save_blank(figure, file, format, **options):
    assert format == "png"
    Image.new("L", (1, 1)).save(file, "PNG")


@pytest.fixture
def drawn():
    """Asked for by tests of whole scripts whose figures are to be drawn; others make each figure and save a pixel."""


@pytest.fixture
def call_script(request, tmp_path, monkeypatch, capsys):
    """Calls a script's main without a new process, in an empty folder: (exit code, stdout, stderr)."""
    if "drawn" not in request.fixturenames:
        leave_blank(monkeypatch.setattr)
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def call(main, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["script.py", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield call
    for number, handler in handlers:
        signal.signal(number, handler)


def _train_once(folder, *arguments):
    """The folder of a run, to be copied: tests may not change it."""
    from tests.forkserver import finish, start
    from tests.survival.faults import wait_for_checkpoints

    ended = finish(start(folder, "train", *arguments, before=wait_for_checkpoints), folder)
    assert ended.code == 0, ended
    return folder / "runs" / "ViTModel"


@pytest.fixture(scope="session")
def finished(tmp_path_factory, arguments):
    """The folder of a finished run of three epochs, to be copied."""
    return _train_once(tmp_path_factory.mktemp("finished"), "--epochs", 3, *arguments)


@pytest.fixture(scope="session")
def _short(tmp_path_factory, arguments):
    return _train_once(tmp_path_factory.mktemp("short"), "--epochs", 1, *arguments)


@pytest.fixture(scope="session")
def _paused(tmp_path_factory, arguments):
    return _train_once(tmp_path_factory.mktemp("paused"), "--epochs", 2, "--stop_after", 1, *arguments)


@pytest.fixture
def short_run(tmp_path, _short):
    """A finished run of one epoch: runs/ViTModel in the test's folder."""
    return Path(shutil.copytree(_short, tmp_path / "runs" / "ViTModel"))


@pytest.fixture
def paused_run(tmp_path, _paused):
    """A run of two epochs, paused after the first: runs/ViTModel in the test's folder."""
    return Path(shutil.copytree(_paused, tmp_path / "runs" / "ViTModel"))


@pytest.fixture
def small_demo(monkeypatch):
    """The demo makes 24 people with two slices each where it asks for 100 with eight."""
    from data_setup.listing import data_folders
    from tests.phantoms import make_phantom

    def make_fewer(out, **asked):
        assert asked == {"people": 100, "slices": 8, "seed": 0}
        return make_phantom(out, people=24, slices=2, seed=0)

    monkeypatch.setattr(data_folders, "make_phantom", make_fewer)


@pytest.fixture
def call_train(call_script):
    import train

    return functools.partial(call_script, train.main)
