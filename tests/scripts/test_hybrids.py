"""The paper's hybrids by name, as a user calls them: trained from scratch, resumed, evaluated."""

import json

import pandas as pd
import pytest
import torch

import evaluate
import train_transferlearning
from functions.checkpointing.checkpoint import load_model
from functions.config.parser import make_parser
from functions.config.settings import SCRATCH
from models import HYBRIDS, VARIANTS, HybridViT

SIZES = ["--embedding_dim", "12", "--num_heads", "3", "--mlp_size", "20", "--num_transformer_layer", "2"]


@pytest.fixture
def hybrid(slices):
    """A run of r_vit_ti_16 with few and narrow layers, on images of 2x1 tokens."""
    return ["--train_dir", str(slices / "train"), "--test_dir", str(slices / "test"), "--model", "r_vit_ti_16",
            "--image_size", "64x32", "--in_channels", "1", "--batch_size", "24", "--seed", "3", *SIZES]


def test_a_hybrid_trains_resumes_and_is_evaluated(call_train, call_script, hybrid, tmp_path):
    code, out, err = call_train("--epochs", 2, "--stop_after", 1, *hybrid)
    assert (code, err) == (0, "")
    assert "2 layers of width 12, 2x1 tokens of 32x32 pixels, from the map of a ResNet stem with no residual" in out
    run = tmp_path / "runs" / "ViTModel"
    code, out, err = call_train("--resume", run)
    assert (code, err) == (0, "")
    assert "resuming after epoch 1" in out

    record = json.loads((run / "run.json").read_text())
    assert record["state"] == "finished"
    assert {name: record["settings"][name] for name in ("model", "patch_size", "embedding_dim")} == {
        "model": "r_vit_ti_16", "patch_size": 32, "embedding_dim": 12}
    assert "r_vit_ti_16 with L = 2, D = 12, 3 heads, MLP 20, pixels per token of the hybrid = 32" in (
        run / "report.html").read_text()
    model, checkpoint = load_model(run / "best.pt")
    assert type(model) is HybridViT
    assert checkpoint["config"] | {"kind": "HybridConfig", "units": [], "stem_patch": 8, "stem_width": 64,
                                   "patch_size": 32, "num_layers": 2} == checkpoint["config"]
    assert (load_model(run / "last.pt")[1]["epoch"], model(torch.zeros(1, 1, 64, 32)).shape) == (2, (1, 2))

    code, out, err = call_script(evaluate.main, run)
    assert (code, err) == (0, "")
    before, after = (pd.read_csv(folder / "predictions.csv").sort_values("path", ignore_index=True)[["AD", "CN"]]
                     for folder in (run, run / "evaluation"))
    pd.testing.assert_frame_equal(before, after, atol=1e-5)


@pytest.mark.parametrize(("flags", "complaint"), [
    (["--patch_size", "16"], "patch_size is 16: a token of this hybrid is 32x32 pixels (--patch_size)"),
    (["--image_size", "64x40"], "image size 64x40 is not a multiple of the 32 pixels per token of this hybrid "
                                "(--image_size)"),
    (["--num_heads", "5"], "embedding_dim 12 is not a multiple of num_heads 5 (--embedding_dim, --num_heads)"),
    (["--model", "r_vit_ti16"], "did you mean r_vit_ti_16? (--model)"),
    (["--num_transformer_layer", "1000", "--embedding_dim", "60000"], "a model of 14,4"),
])
def test_what_a_hybrid_cannot_be_is_one_line(call_train, hybrid, flags, complaint):
    code, _, err = call_train("--epochs", 1, *hybrid, *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err


def test_fine_tuning_names_what_it_takes_instead_of_a_hybrid(call_script):
    code, _, err = call_script(train_transferlearning.main, "--model", "r50_vit_b_16", "--demo")
    assert (code, err.count("\n")) == (2, 1)
    assert 'unknown pretrained model "r50_vit_b_16"; known: vit_ti_16, ' in err


def test_help_names_every_model():
    names = next(setting.help for setting in SCRATCH.settings.values() if setting.name == "model")
    assert names.replace(" or a hybrid:", "").split(", ") == [*VARIANTS, *HYBRIDS]
    assert "r50_vit_b_16" in make_parser("", SCRATCH).format_help()
