import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from functions.checkpointing.checkpoint import load_checkpoint, load_model
from tests.survival.faults import wait_for_checkpoints


def test_a_run_leaves_everything_the_contract_names(drawn, call_train, arguments, tmp_path, monkeypatch):
    wait_for_checkpoints(monkeypatch.setattr)
    code, out, err = call_train("--epochs", 3, *arguments)
    assert (code, err) == (0, "")
    run = tmp_path / "runs" / "ViTModel"
    assert {path.name for path in run.iterdir()} == {
        "run.json", "split.csv", "results.csv", "ViTModel_losses.pkl", "last.pt", "previous.pt", "best.pt",
        "predictions.csv", "metrics.json", "loss_curves.png", "confusion_matrix.png", "report.html"}
    assert all(min(Image.open(picture).size) > 300 for picture in run.glob("*.png"))

    with open(run / "ViTModel_losses.pkl", "rb") as file:
        curves = pickle.load(file)
    assert set(curves) == {f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "acc")}
    assert all(len(v) == 3 and all(type(x) is float for x in v) for v in curves.values())
    table = pd.read_csv(run / "results.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    for name, values in curves.items():
        np.testing.assert_allclose(table[name], values)

    split = pd.read_csv(run / "split.csv")
    assert (split.groupby("subject")["split"].nunique() == 1).all()
    assert "24 of 24 patients are in both train and test: pooled and split again by patient" in out
    predictions = pd.read_csv(run / "predictions.csv")
    assert list(predictions.columns) == ["path", "subject", "label", "AD", "CN"]
    assert set(predictions["path"]) == set(split.loc[split["split"] == "test", "path"])

    record = json.loads((run / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["best_epoch"] >= 1 + int(np.argmin(curves["val_loss"]))
    assert record["settings"]["image_size"] == [16, 12]
    assert {"command", "commit", "versions", "device", "fingerprint", "seconds", "stamps"} <= set(record)
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    assert metrics["patient"]["count"] == split.loc[split["split"] == "test", "subject"].nunique()
    for line in ("accuracy", "balanced accuracy", "AUROC, mean over classes", "AUROC, diseased or not"):
        assert f"\n{line} " in out
    assert "always AD" in out
    assert "s per epoch" in out


def test_what_is_scored_at_the_end_is_the_best_checkpoint(finished):
    model, checkpoint = load_model(finished / "best.pt")
    predictions = pd.read_csv(finished / "predictions.csv")
    from data_setup.loading.transforms import image_reader

    read = image_reader(checkpoint["preprocessing"])
    with torch.no_grad():
        ours = model(torch.stack([read(path) for path in predictions["path"]])).softmax(1)
    np.testing.assert_allclose(predictions[checkpoint["class_names"]], ours, atol=1e-5)


def test_hidden_test_patients_are_scored_at_the_end_only(drawn, call_train, arguments, finished, tmp_path):
    assert call_train("--epochs", 3, "--hide_test", "--stop_after", 2, *arguments)[0] == 0
    code, out, err = call_train("--resume", "runs/ViTModel")
    assert (code, err) == (0, "")
    assert "train/val/test" not in out
    assert "\ntest, epoch " in out
    run = tmp_path / "runs" / "ViTModel"
    curves, whole = (pd.read_pickle(folder / "ViTModel_losses.pkl") for folder in (run, finished))
    assert set(curves) == {name for name in whole if not name.startswith("test")}
    assert all(values[0] == whole[name][0] for name, values in curves.items()), "the first epoch is the same"
    assert {len(values) for values in curves.values()} == {3}
    assert not any("test" in name for name in pd.read_csv(run / "results.csv"))
    assert json.loads((run / "metrics.json").read_text())["test"]["patient"]["count"] == 6
    assert "Loss of train and val; epoch " in (run / "report.html").read_text()
    assert call_train("--resume", "runs/ViTModel", "--epochs", 4, "--no_hide_test")[0] == 2


def test_a_second_run_never_overwrites_the_first(call_train, arguments, tmp_path):
    for _ in range(2):
        assert call_train("--epochs", 1, "--name", "mine", *arguments)[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine", "mine-2"]
    assert (tmp_path / "runs/mine-2/mine-2_losses.pkl").exists()


def test_folders_kept_as_they_are_are_stamped_everywhere(call_train, arguments, tmp_path):
    code, out, _ = call_train("--epochs", 1, "--split", "folder", *arguments)
    assert code == 0
    assert out.count("LEAKY SPLIT") >= 3
    run = tmp_path / "runs/ViTModel"
    assert json.loads((run / "run.json").read_text())["stamps"] == ["LEAKY SPLIT"]
    assert json.loads((run / "metrics.json").read_text())["caveats"] == ["LEAKY SPLIT"]
    assert load_checkpoint(run / "best.pt")["stamps"] == ["LEAKY SPLIT"]


def test_a_recipe_that_collapses_is_warned_about(call_train, arguments):
    """At a rate of zero nothing moves: the zero classifier answers one class for everybody."""
    code, out, _ = call_train("--epochs", 2, "--lr", "0", "--warmup_share", "0", *arguments)
    assert code == 0
    assert "WARNING  predicts " in out
    assert " for 100% of validation slices (true share " in out
    assert "Likely cause" in out


def test_a_loss_that_explodes_stops_with_what_to_try(call_train, arguments, tmp_path):
    code, _, err = call_train("--epochs", 2, "--lr", "1e30", "--weight_decay", 0, "--clip_norm", "0",
                              "--warmup_share", "0", *arguments)
    assert code == 2
    assert err.startswith("error: the loss is not finite at step")
    assert err.count("\n") == 1
    record = json.loads((tmp_path / "runs/ViTModel/run.json").read_text())
    assert record["state"] == "failed"
    assert "UserError: the loss is not finite" in record["error"]


def test_files_left_out_are_named_at_the_end(call_train, arguments, slices, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(slices, copy)
    source = sorted((copy / "train" / "AD").glob("*.png"))[0]
    for i in range(130):         # more slices, so that one broken file stays under 1 %
        shutil.copy(source, copy / "train" / "AD" / f"sub-AD00_z{i + 10}.png")
    (copy / "train" / "AD" / "sub-AD01_z99.png").write_bytes(b"\x89PNG broken")
    (copy / "train" / "AD" / "Thumbs.db").write_bytes(b"x")
    code, out, _ = call_train("--epochs", 1, *arguments, "--train_dir", copy / "train", "--test_dir", copy / "test")
    assert code == 0
    assert "2 files were left out:" in out
    assert "sub-AD01_z99.png" in out
    assert "Thumbs.db: left by another program" in out


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        (["--train_dir", "nowhere"], "train folder nowhere does not exist"),
        (["--test_dir", "nowhere"], "test folder nowhere does not exist"),
        (["--image_size", "17x12"], "image size 17x12 is not a multiple of the patch size 4 ("),
        (["--image_size", "4096", "--patch_size", "1"], "16,777,216 patches of patch size 1: it can have"),
        (["--image_size", "17x12"], "--image_size"),
        (["--patch_size", "5"], "--patch_size"),
        (["--embedding_dim", "13"], "embedding_dim 13 is not a multiple of num_heads 3"),
        (["--model", "vit_x"], 'unknown model "vit_x"'),
        (["--model", "vit_x"], "(--model)"),
        (["--num_classes", "5"], "--num_classes 5, but the data has 2 classes: AD, CN"),
        (["--in_channels", "2"], "--in_channels"),
        (["--split", "none.csv"], "none.csv"),
        (["--subjects", "none.csv"], "none.csv"),
        (["--subject_pattern", "("], "(--subject_pattern)"),
        (["--recipe", "none.yaml"], "none.yaml"),
        (["--resume", "runs/none"], "runs/none"),
        (["--precision", "fp16"], "fp16"),
        (["--name", "a/b"], "a/b"),
        (["--demo"], "--demo and --"),
        (["--ema", "1"], "--ema"),
        (["--drop_path", "1"], "--drop_path"),
        (["--mixup", "0.001"], '--mixup: "0.001" is not 0 (off), or a number between 0.01 and 100'),
        (["--cutmix", "1", "--batch_size", "1"], "--cutmix mixes the slices of a batch, and --batch_size is 1"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_leaves_nothing(call_train, arguments, tmp_path, extra, complaint):
    code, _, err = call_train("--epochs", 1, *arguments, *extra)
    assert code == 2
    assert err.startswith("error: ")
    assert complaint in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))


def test_too_many_unreadable_files_stop_before_anything_is_trained(call_train, arguments, slices, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(slices, copy)
    for path in sorted((copy / "train" / "CN").glob("*.png"))[:3]:
        path.write_bytes(path.read_bytes()[:40])
    code, _, err = call_train("--epochs", 1, *arguments, "--train_dir", copy / "train", "--test_dir", copy / "test")
    assert code == 2
    assert "3 of 72 train files cannot be read (limit 1%)" in err


def test_sixteen_bit_slices_train_as_their_eight_bit_originals_do(call_train, arguments, slices, tmp_path):
    copy = tmp_path / "deep"
    for path in slices.rglob("*.png"):
        target = copy / path.relative_to(slices)
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(Image.open(path)).astype(np.uint16)
        pixels[0, 0], pixels[0, 1] = 0, 255
        Image.fromarray((pixels * 16).astype(np.uint16)).save(target)
    code, _, _ = call_train("--epochs", 1, *arguments, "--train_dir", copy / "train", "--test_dir", copy / "test")
    assert code == 0
    mean = json.loads((tmp_path / "runs/ViTModel/run.json").read_text())["preprocessing"]["mean"][0]
    eight_bit = np.mean([np.asarray(Image.open(path)).mean() for path in slices.rglob("*.png")]) / 255
    assert abs(mean - eight_bit) < 0.03, "12-bit values in a 16-bit file are neither white nor black"


def test_no_data_and_no_data_flag_is_the_demo_and_says_so(small_demo, call_train, tmp_path):
    code, out, err = call_train("--epochs", 1)
    assert (code, err) == (0, "")
    assert out.count("PHANTOM DEMO") >= 2
    assert "ceiling" in out
    record = json.loads((tmp_path / "runs/ViTModel/run.json").read_text())
    assert "PHANTOM DEMO" in record["stamps"][0]
    assert record["settings"]["demo"] is True
    assert record["settings"]["recipe"].endswith("demo.yaml")


def test_a_named_folder_that_is_missing_is_never_replaced_by_the_demo(call_train, tmp_path):
    code, _, err = call_train("--epochs", 1, "--train_dir", "data/train")
    assert code == 2
    assert "data/train does not exist" in err


def test_every_setting_arrives_where_it_is_meant_to(call_train, arguments, monkeypatch):
    """Each setting off its default, and what the parts of a run were really given."""
    from data_setup.loading import run_data
    from functions import engine
    from functions.training import optimisation
    from models import factory

    given = {}

    def spy(module, name):
        original = getattr(module, name)

        def noted(*args, **kwargs):
            given[name] = (args, kwargs)
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, noted)

    for module, name in ((factory, "configure"), (run_data, "create_dataloaders"), (optimisation, "make_optimizer"),
                         (optimisation, "make_schedule"), (engine, "train")):
        spy(module, name)
    code, _, _ = call_train(
        "--epochs", 1, *arguments, "--batch_size", 9, "--accumulation", 2, "--lr", 0.002, "--weight_decay", 0.07,
        "--optimizer", "adam", "--schedule", "linear", "--warmup_share", 0.25, "--clip_norm", 0.7, "--dropout", 0.15,
        "--label_smoothing", 0.05, "--class_weights", "sqrt", "--no-augment", "--seed", 7, "--drop_path", 0.35,
        "--mixup", 0.4, "--cutmix", 0.8, "--ema", 0.95)
    assert code == 0
    assert (given["configure"][1]["dropout"], given["configure"][1]["drop_path"]) == (0.15, 0.35)
    assert given["configure"][1] | {"image_size": (16, 12), "in_channels": 1, "patch_size": 4, "num_layers": 2,
                                "embedding_dim": 12, "mlp_size": 20, "num_heads": 3} == given["configure"][1]
    data = given["create_dataloaders"][1]
    assert (given["create_dataloaders"][0][2], data["augment"], data["seed"]) == (9, False, 7)
    assert (data["mixup"], data["cutmix"]) == (0.4, 0.8)
    assert given["make_optimizer"][0][1:] == ("adam", 0.002, 0.07)
    name, epochs, steps_per_epoch, share = given["make_schedule"][0]
    (model, train, test, optimizer, loss_fn, *_), options = given["train"]
    assert (name, epochs, share) == ("linear", 1, 0.25)
    assert steps_per_epoch == -(-len(train) // 2)
    assert (options["clip_norm"], options["accumulation"]) == (0.7, 2)
    assert options["scheduler"].optimizer is optimizer
    assert options["scoring"].__self__.decay == 0.95
    assert [type(kind).__name__ for kind in train.mixing.mix.transforms] == ["MixUp", "CutMix"]
    assert options["val_dataloader"].mixing is test.mixing is None
    assert options["val_dataloader"] is not test
    counts = torch.bincount(train.dataset.labels).double()
    assert (loss_fn.weight[0] / loss_fn.weight[1]).item() == pytest.approx((counts[1] / counts[0]).sqrt().item())
    assert (loss_fn.label_smoothing, loss_fn.reduction) == (0.05, "none")


def test_a_summary_changes_no_number_of_the_run(call_train, arguments, tmp_path):
    """It draws random numbers; epoch 1 begins with the seed whatever was drawn before."""
    call_train("--epochs", 1, *arguments)
    call_train("--epochs", 1, "--summary", *arguments, "--name", "summed")
    plain, summed = (load_checkpoint(tmp_path / f"runs/{name}/last.pt")["weights"] for name in ("ViTModel", "summed"))
    assert all(torch.equal(plain[name], value) for name, value in summed.items())


def test_an_error_about_settings_of_a_recipe_names_its_file_and_the_key(call_train, arguments, tmp_path):
    for line, complaint in (("patch_size: 5", "not a multiple of the patch size 5 ("),
                            ("model: vit_x", "unknown model"),
                            ("subject_pattern: (", "not a regular expression"), ("split: none.csv", "no such CSV file"),
                            ("subject_pattern: (?P<subject>none)", "assigns no subject to any of"),
                            ("num_classes: 5", "the data has 2 classes")):
        name = line.split(":")[0]
        (tmp_path / "mine.yaml").write_text(line)
        flags = list(arguments)
        for given in ([name, "model"] if name in ("model", "patch_size") else []):    # a model as a flag has its sizes
            if f"--{given}" in flags:
                place = flags.index(f"--{given}")
                flags = flags[:place] + flags[place + 2:]
        code, _, err = call_train("--epochs", 1, "--recipe", "mine.yaml", *flags)
        assert (code, err.count("\n")) == (2, 1), err
        assert complaint in err
        assert f"{name} in recipe mine.yaml" in err


def test_a_switch_that_cannot_change_on_resuming_is_called_as_it_was_given(call_train, paused_run):
    for flag in ("--no_augment", "--augment"):
        code, _, err = call_train("--resume", "runs/ViTModel", flag)
        assert (code, err.split(" cannot")[0]) == (2, f"error: {flag}")


def test_a_setting_that_a_resumed_run_recorded_wrong_names_run_json(call_train, paused_run):
    file = paused_run / "run.json"
    file.write_text(file.read_text().replace('"patch_size": 4', '"patch_size": 5'))
    _, _, err = call_train("--resume", "runs/ViTModel")
    assert "image_size in " in err
    assert f"patch_size in {file}" in err


def test_one_folder_for_two_splits_and_a_test_folder_alone_are_refused_by_their_flags(call_train, arguments, slices,
                                                                                      tmp_path):
    (tmp_path / "link").symlink_to(slices / "train")
    for flag in ("--val_dir", "--test_dir"):
        for folder in (slices / "train", tmp_path / "link"):
            code, _, err = call_train(*arguments, flag, folder)
            assert (code, err.count("\n")) == (2, 1)
            assert f"of {flag} and " in err
            assert "of --train_dir are the same folder" in err
    code, _, err = call_train("--test_dir", slices / "test")
    assert (code, err.count("\n")) == (2, 1)
    assert "is given without --train_dir" in err
