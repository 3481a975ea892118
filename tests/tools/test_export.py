import errno
import functools
import json
import os
import re
import runpy
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from functions.checkpointing.checkpoint import frozen_digest, load_model, make_checkpoint, save_checkpoint, save_frozen
from functions.checkpointing.run_folder import update_record
from functions.exporting.card import run_facts
from functions.exporting.files import Written
from models import VARIANTS
from models.config import HybridConfig
from models.hybrid import HybridViT
from models.transfer import TransferConfig, TransferModel
from tests.conftest import ROOT
from tests.functions.exporting.test_hub import FakeApi
from tests.functions.plain import curves
from tests.models import parity

TOOL = str(ROOT / "tools" / "export.py")
PREPROCESSING = {"image_size": [32, 48], "fit": "stretched to the size, proportions not kept", "crop_share": 1.0,
                 "interpolation": "bilinear, antialiased", "channels": 1, "mean": [0.3], "std": [0.2]}
SIZES = {"embedding_dim": 12, "num_heads": 3, "num_layers": 1, "mlp_size": 20}


def main():
    runpy.run_path(TOOL, run_name="__main__")


@pytest.fixture
def call_export(call_script):
    return functools.partial(call_script, main)


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """(run folder, its folder export/, what was printed) of all formats."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("exported") / "run")
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["export.py", str(run)])
        patch.setattr("builtins.print", lambda *values, **options: printed.append(" ".join(map(str, values))))
        main()
    return run, run / "export", printed


def save(folder, model, channels=1):
    """A checkpoint of an untrained network; frozen weights beside it, as in a run."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    folder.mkdir(exist_ok=True)
    digest = frozen_digest(model)
    save_frozen(folder, model, digest)
    save_checkpoint(folder / "best.pt", make_checkpoint(
        model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False), epoch=1, history=curves(1),
        best={"epoch": 1}, class_names=["AD", "CN", "MCI"],
        preprocessing=PREPROCESSING | {"channels": channels, "mean": [0.3] * channels, "std": [0.2] * channels},
        split_hash="", fingerprint="", stamps=["RANDOM WEIGHTS"], frozen=digest))
    return folder / "best.pt"


def hybrid():
    return parity.perturbed(HybridViT(HybridConfig(image_size=(32, 48), num_classes=3, patch_size=16, units=(),
                                                   stem_patch=4, stem_width=32, in_channels=1, **SIZES)), 0)


def test_all_formats_of_a_finished_run_are_written_and_their_differences_printed(exported):
    run, folder, printed = exported
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "description.json", "model.onnx", "model.pt2", "model.safetensors",
        "preprocessor_config.json"]
    for name in ("model.onnx", "model.pt2", "model.safetensors"):
        [line] = [line for line in printed if line.startswith(f"{name}: ")]
        assert float(re.search("by at most ([0-9.e-]+)", line)[1]) < 1e-4
    assert printed[-1].startswith(f"{folder}: compared on 24 test slices of the run")
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_the_card_holds_the_runs_scores_and_caveats(exported):
    run, folder, _ = exported
    text = (folder / "README.md").read_text(encoding="utf-8")
    scores, items = run_facts(run)
    assert any("balanced accuracy" in line for line in scores)
    assert all(f"    {line}\n" in text for line in scores)
    assert ["Intended use", "research and teaching; not a diagnosis, not a medical device"] in items
    assert "| Intended use | research and teaching" in text
    assert "measured at export, on 24 slices, its grey values differ by up to" in text
    description = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    for caveat in description["caveats"]:
        assert f"> **{caveat}" in text
    shutil.copytree(run, run.with_name("paused"), ignore=shutil.ignore_patterns("export"))
    update_record(run.with_name("paused"), state="paused")
    assert run_facts(run.with_name("paused")) == ([], [])
    assert run_facts(run.parent) == run_facts(None) == ([], [])


def test_no_patient_and_no_path_is_in_any_file(exported):
    run, folder, _ = exported
    checkpoint = torch.load(run / "best.pt", weights_only=True)
    seen = checkpoint["seen"]
    assert seen["subjects"]
    assert seen["digests"]
    words = {*seen["subjects"], *seen["digests"], *seen["folders"], str(ROOT), str(run)}
    for file in folder.iterdir():
        content = file.read_bytes()
        assert not [word for word in words if word.encode() in content], file.name


def test_the_examples_of_the_document_run(exported, tmp_path, monkeypatch):
    run, folder, _ = exported
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 31), dtype=np.uint8)).save("slice.png")
    model, checkpoint = load_model(run / "best.pt")
    document = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    card = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    prepare, *loading = re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)
    assert (len(blocks), len(loading)) == (3, 3)
    scope = {}
    exec(prepare, scope)
    image = torch.from_numpy(scope["prepare"]("slice.png"))[None]
    with torch.no_grad():
        expected = model(image)
    for number, block in enumerate([*blocks, *loading]):
        names = dict(scope)
        monkeypatch.chdir(tmp_path if number < len(blocks) else folder)
        if number >= len(blocks):
            shutil.copy(tmp_path / "slice.png", "slice.png")
        exec(block, names)
        if "probabilities" in names:
            torch.testing.assert_close(names["probabilities"], expected.softmax(dim=-1), atol=1e-5, rtol=0)
        else:
            torch.testing.assert_close(torch.as_tensor(names["logits"]).detach(), expected, atol=1e-5, rtol=0)
    (folder / "slice.png").unlink()


@pytest.fixture
def asked(monkeypatch):
    """Stands in for `write_files`, which takes seconds: (formats, network) of each call; writes one file."""
    calls = []

    def write_one(folder, formats, source):
        calls.append((formats, source.model))
        (folder / "model.pt2").touch()
        return Written({"model.pt2": "written"})

    monkeypatch.setattr("functions.exporting.files.write_files", write_one)
    return calls


def test_what_hugging_faces_vit_cannot_represent_is_one_line(call_export, tmp_path, asked):
    save(tmp_path / "hybrid", hybrid())
    code, _, err = call_export("hybrid", "--format", "huggingface")
    assert (code, err) == (2, "error: hybrid/best.pt cannot be written as huggingface: Hugging Face's ViT has no "
                              "equivalent of a hybrid: it takes patches of the image\n")
    assert not (tmp_path / "hybrid/export").exists()
    code, out, _ = call_export("hybrid")
    assert (code, [formats for formats, _ in asked]) == (0, [["onnx", "torch"]]), "the others are written"
    assert out.startswith("not written as huggingface: Hugging Face's ViT has no equivalent of a hybrid")


def test_a_frozen_backbone_is_exported_whole_not_in_chunks(call_export, tmp_path, asked, monkeypatch):
    monkeypatch.setitem(VARIANTS, "vit_b_16", replace(VARIANTS["vit_b_16"], **SIZES))
    model = parity.perturbed(TransferModel(TransferConfig("vit_b_16", "ours", (32, 48), 1, 3)), 0)
    model.unfreeze("head", in_chunks=True)
    save(tmp_path / "frozen", model)
    code, out, err = call_export("frozen", "--license", "mit")
    assert (code, err) == (0, "")
    [(formats, network)] = asked
    assert formats == ["onnx", "torch", "huggingface"]
    assert not network.in_chunks
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in model.state_dict().items())
    assert "frozen/export: compared on 33 phantom slices" in out
    assert "license: mit\n" in (tmp_path / "frozen/export/README.md").read_text()


def test_nothing_is_overwritten_and_nothing_is_left_after_a_failure(call_export, tmp_path, monkeypatch, asked):
    save(tmp_path / "run", hybrid())
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        code, _, err = call_export("run", "--format", "torch", "--out", name)
        assert (code, err) == (2, f"error: {name} exists: name another folder with --out, or remove it\n")
    before = sorted(tmp_path.rglob("*"))

    def no_space(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("functions.runtime.atomic_files.os.fsync", no_space)
        code, _, err = call_export("run", "--format", "torch", "--out", "new")
    assert (code, err.count("\n"), len(asked)) == (2, 1, 1)
    assert "No space left on device: new/README.md could not be written" in err

    def mismatch(folder, formats, source):
        (folder / "model.pt2").touch()
        raise RuntimeError("model.pt2: logits differ")

    monkeypatch.setattr("functions.exporting.files.write_files", mismatch)
    with pytest.raises(RuntimeError, match="logits differ"):
        call_export("run", "--format", "torch", "--out", "new")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["nowhere"], "checkpoint nowhere: no such file"),
    (["damaged.pt"], "checkpoint damaged.pt is damaged"),
    (["run", "--out", "damaged.pt/x"], "damaged.pt is a file, but must be a folder"),
    (["run", "--format", "tflite"], "invalid choice: 'tflite'"),
    (["run", "--license", "All Rights Reserved"], "--license 'All Rights Reserved': not an identifier"),
    (["run", "--push", "somebody/vit"], "--push somebody/vit: somebody is not me"),
    (["run", "--push", "me/vit", "--out", "there"], "there exists"),
])
def test_invalid_input_is_one_line(arguments, complaint, call_export, tmp_path, monkeypatch):
    monkeypatch.setattr("functions.exporting.hub.hub_api", FakeApi)
    save(tmp_path / "run", hybrid())
    (tmp_path / "there").mkdir()
    (tmp_path / "damaged.pt").write_bytes(b"PK\3\4 no checkpoint")
    code, out, err = call_export(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_a_missing_package_is_one_line(call_export, tmp_path, monkeypatch):
    save(tmp_path / "run", hybrid())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = call_export("run", "--format", "onnx")
    assert (code, err.count("\n")) == (2, 1)
    assert "--format onnx needs the package onnxruntime" in err
    assert "pip install -r requirements-export.txt" in err


def test_the_folder_is_pushed_only_if_asked_and_stays_if_that_fails(call_export, tmp_path, monkeypatch, asked):
    api = FakeApi()
    monkeypatch.setattr("functions.exporting.hub.hub_api", lambda: api)
    save(tmp_path / "run", hybrid())
    code, _, _ = call_export("run", "--format", "torch")
    assert (code, api.called) == (0, [])
    code, out, _ = call_export("run", "--format", "torch", "--out", "new", "--push", "vit")
    assert code == 0
    assert api.called[-1] == ("upload_folder", "me/vit", "new")
    assert "pushed to https://hub/me/vit" in out
    api.fail["upload_folder"] = ConnectionError("reset by peer")
    code, _, err = call_export("run", "--format", "torch", "--out", "again", "--push", "vit")
    assert (code, err.count("\n")) == (2, 1)
    assert "reset by peer; again is complete: hf upload me/vit again --private uploads it later" in err
    assert (tmp_path / "again/model.pt2").exists()
