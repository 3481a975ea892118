import functools
import runpy

import pandas as pd
import pytest
import torch
from PIL import Image

from functions.checkpointing.checkpoint import make_checkpoint, save_checkpoint
from functions.training.optimisation import make_optimizer
from models.transfer import TransferConfig, TransferModel
from tests.conftest import ROOT
from tools.attention import run_test_slices

QUICK = ["--count", 2, "--orders", 19, "--device", "cpu"]


@pytest.fixture
def call_attention(call_script):
    path = str(ROOT / "tools" / "attention.py")
    return functools.partial(call_script, lambda: runpy.run_path(path, run_name="__main__"))


def test_both_figures_and_the_tests_of_each_map(call_attention, finished, tmp_path, drawn):
    """Of a run's own test slices, all methods, in a new folder; the figures are drawn."""
    code, out, err = call_attention(finished, *QUICK, "--method", "rollout", "relevance", "--out", "new", "--dpi", 40)
    assert code == 0, err
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["faithfulness.csv", "figure6.png",
                                                                          "figure7.png"]
    for name in ("figure6.png", "figure7.png"):
        with Image.open(tmp_path / "new" / name) as image:
            assert image.width > 100
    table = pd.read_csv(tmp_path / "new" / "faithfulness.csv")
    assert table["map"].tolist() == ["rollout", "rollout", "relevance", "relevance"]
    assert table["slice"].nunique() == 2
    for method in ("rollout", "relevance"):
        passed = (table[table["map"] == method]["result"] == "passes").sum()
        assert f"{method}: {passed} of 2 maps pass all tests" in out
    for row in table.itertuples():
        assert (row.result == "passes") == (row._6 <= 0.05 and row._7 <= 0.05 and row._9 < 0.5)


def test_named_images_and_a_checkpoint_alone(call_attention, finished, slices, tmp_path):
    (tmp_path / "alone.pt").write_bytes((finished / "best.pt").read_bytes())
    file = next(slices.glob("test/AD/*.png"))
    (tmp_path / "=1\n.png").write_bytes(file.read_bytes())
    code, _, err = call_attention("alone.pt", file, "=1\n.png", *QUICK, "--dpi", 40)
    assert code == 0, err
    assert pd.read_csv(tmp_path / "attention" / "faithfulness.csv")["path"].tolist() == [str(file), r"'=1\n.png"]
    code, _, err = call_attention("alone.pt", *QUICK)
    assert code == 2
    assert err.endswith(". is not a run's folder: name slices after the checkpoint\n")


def test_slices_are_of_other_patients_and_classes_take_turns(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths, classes = run_test_slices(finished)
    split = pd.read_csv(finished / "split.csv").set_index("path")
    rows = split.loc[[str(path) for path in paths]]
    assert set(rows["split"]) == {"test"}
    assert rows["class"].tolist() == classes
    assert len(rows) == (split["split"] == "test").sum()
    count = rows["subject"].nunique()
    assert rows["subject"][:count].nunique() == count
    assert classes[:4] == ["AD", "CN", "AD", "CN"]


@pytest.mark.parametrize(("given", "message"), [
    (["nowhere.pt"], "checkpoint nowhere.pt: no such file"),
    (["RUN", "nowhere.png"], "nowhere.png"),
    (["RUN", "--orders", 18], "at least 19"),
    (["RUN", "--count", 0], "--count 0: from 1 to 32"),
    (["RUN", "--count", 33], "--count 33: from 1 to 32"),
    (["RUN", *["a.png"] * 33], "33 slices: at most 32"),
    (["RUN", "--dpi", 1201], "--dpi 1201: from 1 to 1200"),
    (["RUN", "--method", "gradcam"], "gradcam"),
])
def test_bad_input_is_one_line_and_leaves_nothing(call_attention, finished, tmp_path, given, message):
    code, _, err = call_attention(*(finished if word == "RUN" else word for word in given), "--out", "new")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_largest_figure_can_be_drawn():
    """Matplotlib refuses figures of 2^16 pixels or more in either direction."""
    from functions.explain.figures import COLUMN
    from tools.attention import MAX_DPI, MAX_SHOWN

    assert (COLUMN * MAX_SHOWN + 0.3) * MAX_DPI < 2**16
    assert (COLUMN * 36 + 0.3) * MAX_DPI > 2**16


def test_a_resnet_is_refused_with_the_reason(call_attention, tmp_path):
    model = TransferModel(TransferConfig("resnet18", image_size=(32, 32), in_channels=1, num_classes=2))
    optimizer = make_optimizer(model, "adamw", 1e-2, 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    save_checkpoint(tmp_path / "best.pt", make_checkpoint(
        model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False), epoch=1,
        history={f"{split}_{what}": [0.5] for split in ("train", "val", "test") for what in ("loss", "acc")},
        best={"epoch": 1}, class_names=["AD", "CN"], split_hash="a", fingerprint="b", stamps=[],
        preprocessing={"image_size": [32, 32], "channels": 1, "mean": [0.3], "std": [0.2]}))
    code, _, err = call_attention("best.pt", "slice.png")
    assert code == 2
    assert err == "error: attention maps need a Vision Transformer: ResNet has no self-attention\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.pt"]
