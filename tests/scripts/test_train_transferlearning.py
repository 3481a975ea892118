import functools
import json
import signal

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from functions.checkpointing.checkpoint import load_checkpoint, load_model
from models import VARIANTS
from models.config import ViTConfig
from tests.conftest import ROOT
from tests.forkserver import finish, start
from tests.survival.faults import kill_at_rename, save_every_epoch, wait_for_checkpoints

SIZES = {"patch_size": 4, "num_layers": 2, "embedding_dim": 12, "num_heads": 3, "mlp_size": 20}


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file as torchvision's, of a network that a test can afford, for images of 16x16; nothing in it is trivial."""
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(16, 4, 2, 3, 12, 20, num_classes=7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.save(net.state_dict(), path)
    return path


def make_flags(slices, weights):
    return ["--train_dir", str(slices / "train"), "--test_dir", str(slices / "test"), "--weights", str(weights),
            "--batch_size", "16", "--seed", "3", "--lr", "0.01"]


@pytest.fixture
def flags(slices, weights):
    return make_flags(slices, weights)


@pytest.fixture
def call(call_script, monkeypatch):
    import train_transferlearning

    monkeypatch.setitem(VARIANTS, "vit_b_16", ViTConfig(**SIZES))
    return functools.partial(call_script, train_transferlearning.main)


def killed_at_rename(n):
    """In a process of its own: the small network, a checkpoint after every epoch, and SIGKILL at the n-th rename."""
    VARIANTS["vit_b_16"] = ViTConfig(**SIZES)
    save_every_epoch()
    kill_at_rename(n)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, slices, weights):
    """Three epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ended = finish(start(folder, "train_transferlearning", "--epochs", 3, *make_flags(slices, weights),
                         before=functools.partial(killed_at_rename, 10**9)), folder)
    assert ended.code == 0, ended
    return folder / "runs/ViTModelTransferLearning"


def decided(run):
    """All that a run decided, and nothing about when or how fast."""
    last, best = load_checkpoint(run / "last.pt"), load_checkpoint(run / "best.pt")
    metrics = json.loads((run / "metrics.json").read_text())
    return last, best, (run / "predictions.csv").read_text(), pd.read_pickle(next(run.glob("*_losses.pkl"))), metrics


def assert_same(run, other, but=()):
    ours, theirs = decided(run), decided(other)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert a["epoch"] == b["epoch"]
        assert a["weights"].keys() == b["weights"].keys()
        assert all(torch.equal(value, b["weights"][name]) for name, value in a["weights"].items())
        assert torch.equal(a["rng"]["torch"], b["rng"]["torch"])
    assert ours[2:4] == theirs[2:4]
    for name in set(ours[4]) - set(but):
        assert ours[4][name] == theirs[4][name]


def test_a_run_leaves_everything_that_train_leaves(drawn, call, flags, tmp_path, monkeypatch):
    wait_for_checkpoints(monkeypatch.setattr)
    code, out, err = call("--epochs", 3, *flags)
    assert (code, err) == (0, "")
    run = tmp_path / "runs" / "ViTModelTransferLearning"
    assert {path.name for path in run.iterdir()} == {
        "run.json", "split.csv", "results.csv", "ViTModelTransferLearning_losses.pkl", "last.pt", "best.pt",
        "previous.pt", "frozen.pt", "predictions.csv", "metrics.json", "loss_curves.png", "confusion_matrix.png",
        "report.html"}
    curves = pd.read_pickle(run / "ViTModelTransferLearning_losses.pkl")
    assert all(len(v) == 3 and all(type(x) is float for x in v) for v in curves.values())
    split = pd.read_csv(run / "split.csv")
    assert (split.groupby("subject")["split"].nunique() == 1).all()
    assert "24 of 24 patients are in both train and test: pooled and split again by patient" in out
    record = json.loads((run / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert "vit.pth" in record["weights"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["probe"]["slice"]["scores"]["accuracy"]["value"] >= 0
    assert "closed-form probe" in out
    assert "26 trained (head)" in out
    assert "the crop of the pretrained weights shows the middle" in out


def test_what_is_scored_is_the_best_checkpoint_with_its_frozen_weights(call, flags, tmp_path):
    call("--epochs", 2, *flags)
    model, checkpoint = load_model(tmp_path / "runs/ViTModelTransferLearning/best.pt")
    predictions = pd.read_csv(tmp_path / "runs/ViTModelTransferLearning/predictions.csv")
    from data_setup.loading.transforms import image_reader

    read = image_reader(checkpoint["preprocessing"])
    with torch.no_grad():
        ours = model(torch.stack([read(path) for path in predictions["path"]])).softmax(1)
    np.testing.assert_allclose(predictions[checkpoint["class_names"]], ours, atol=1e-5)


def test_with_and_without_the_cache_every_number_is_the_same(call, flags, tmp_path):
    """Batches of 16 and a last one of 12, shuffled: features do not depend on the company an image comes in."""
    call("--epochs", 3, *flags)
    code, out, _ = call("--epochs", 3, *flags, "--no_cache", "--name", "uncached")
    assert code == 0
    assert "features" not in out.split("run      runs")[1].split("closed-form")[0]
    assert_same(tmp_path / "runs/ViTModelTransferLearning", tmp_path / "runs/uncached", but={"probe"})


def test_a_backbone_is_run_once(call, flags, tmp_path):
    _, out, _ = call("--epochs", 1, *flags)
    assert "features 96 of 96 computed" in out
    _, out, _ = call("--epochs", 2, *flags, "--seed", 9, "--lr", 0.1)
    assert "features 0 of 96 computed" in out, "another split and rate, the same images and weights"
    _, out, _ = call("--epochs", 1, *flags, "--image_size", "20x16")
    assert "features 96 of 96 computed" in out
    assert len(list((tmp_path / "runs/.features").glob("*.pt"))) == 2


def test_augmented_views_are_kept_and_drawn_from(call, flags, tmp_path):
    code, out, _ = call("--epochs", 3, *flags, "--augment", "--views", 3)
    assert code == 0
    train = (pd.read_csv(tmp_path / "runs/ViTModelTransferLearning/split.csv")["split"] == "train").sum()
    assert f"features {96 + 2 * train} of {96 + 2 * train} computed" in out
    _, out, _ = call("--epochs", 3, *flags, "--augment", "--views", 3, "--name", "again")
    assert "features 0 of" in out
    assert_same(tmp_path / "runs/ViTModelTransferLearning", tmp_path / "runs/again")
    call("--epochs", 3, *flags, "--name", "plain")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "runs/ViTModelTransferLearning", tmp_path / "runs/plain")


def test_the_hand_written_backbone_gives_the_same_numbers(call, flags, tmp_path):
    call("--epochs", 2, *flags, "--train", "all")
    call("--epochs", 2, *flags, "--train", "all", "--backbone", "ours", "--name", "ours")
    theirs, ours = (pd.read_pickle(next((tmp_path / "runs" / name).glob("*_losses.pkl")))
                    for name in ("ViTModelTransferLearning", "ours"))
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


@pytest.mark.parametrize("part", ["last:1", "all"])
def test_more_than_the_head_can_be_trained_and_resumed(call, flags, tmp_path, part):
    call("--epochs", 3, *flags, "--train", part, "--augment")
    call("--epochs", 3, *flags, "--train", part, "--augment", "--name", "two", "--stop_after", 1)
    code, out, _ = call("--resume", "runs/two")
    assert code == 0
    assert "resuming after epoch 1" in out
    assert_same(tmp_path / "runs/two", tmp_path / "runs/ViTModelTransferLearning")
    before = torch.load(tmp_path / "runs/two/last.pt", weights_only=True)["weights"]
    assert ("backbone.conv_proj.weight" in before) == (part == "all")


@pytest.mark.parametrize("n", [1, 4, 7, 9, 12, 20])
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(call, flags, tmp_path, whole, n):
    """Renames in order: features of three splits, run.json, frozen.pt, each epoch's files, the results."""
    killed = finish(start(tmp_path, "train_transferlearning", "--epochs", 3, *flags,
                          before=functools.partial(killed_at_rename, n)), tmp_path)
    assert killed.code == -signal.SIGKILL, killed
    if (tmp_path / "runs/ViTModelTransferLearning").exists():
        code, _, err = call("--resume", "runs/ViTModelTransferLearning")
    else:
        code, _, err = call("--epochs", 3, *flags)
    assert (code, err) == (0, "")
    assert_same(tmp_path / "runs/ViTModelTransferLearning", whole)


def test_our_own_best_checkpoint_is_a_start_for_another_run(call, flags, tmp_path):
    """A frozen run's, whose backbone is in frozen.pt: images are prepared as it says, and features are known."""
    call("--epochs", 1, *flags, "--mean", "0.25", "--std", "0.2,0.3,0.4")
    run = tmp_path / "runs/ViTModelTransferLearning"
    record = json.loads((run / "run.json").read_text())
    assert (record["preprocessing"]["mean"], record["preprocessing"]["std"]) == ([0.25] * 3, [0.2, 0.3, 0.4])
    code, out, err = call("--epochs", 1, *flags, "--weights", run / "best.pt", "--name", "second")
    assert (code, err) == (0, "")
    assert "the checkpoint's own preprocessing" in out
    assert "features 0 of 96 computed" in out
    second = json.loads((tmp_path / "runs/second/run.json").read_text())
    assert second["preprocessing"] == record["preprocessing"]
    code, _, err = call("--epochs", 1, *flags, "--weights", run / "best.pt", "--model", "vit_b_32", "--name", "other")
    assert (code, err.count("\n")) == (2, 1)
    assert "best.pt for --model vit_b_32" in err
    code, _, err = call("--resume", run)
    assert (code, err) == (0, "")


def test_a_scratch_runs_best_checkpoint_is_a_start_too(call, call_train, flags, arguments, tmp_path):
    sizes = ["--patch_size", 4, "--num_transformer_layer", 2, "--embedding_dim", 12, "--num_heads", 3, "--mlp_size", 20]
    data = flags[:4]
    code, _, err = call_train("--epochs", 1, *data, *sizes, "--image_size", "16x12", "--in_channels", 1)
    assert (code, err) == (0, "")
    best = tmp_path / "runs/ViTModel/best.pt"
    code, out, err = call("--epochs", 1, *data, "--weights", best, "--in_channels", 1)
    assert (code, err) == (0, "")
    ours, theirs = (json.loads((tmp_path / f"runs/{name}/run.json").read_text())["preprocessing"]
                    for name in ("ViTModelTransferLearning", "ViTModel"))
    assert ours == theirs
    code, _, err = call("--epochs", 1, *data, "--weights", best, "--in_channels", 1, "--model", "resnet18")
    assert (code, err.count("\n")) == (2, 1)
    assert "not a resnet18" in err


@pytest.mark.parametrize(("flag", "value"), [("--std", "0"), ("--std", "-1"), ("--std", "nan"), ("--mean", "x"),
                                             ("--mean", "0.1,0.2"), ("--std", "0.1,0.2,inf"), ("--mean", "inf")])
def test_means_and_deviations_that_are_none_are_refused(call, flags, flag, value):
    code, _, err = call("--epochs", 1, *flags, flag, value)
    assert (code, err.count("\n")) == (2, 1)
    assert flag in err


def test_the_papers_recipe_takes_steps_not_epochs(call, flags, tmp_path):
    """Three batches of 16 an epoch; seven steps are two epochs and a third of one more."""
    code, _, _ = call("--recipe", ROOT / "recipes/transfer_paper.yaml", *flags, "--accumulation", 1,
                        "--image_size", 16, "--steps", 7)
    assert code == 0
    checkpoint = load_checkpoint(tmp_path / "runs/ViTModelTransferLearning/last.pt")
    assert checkpoint["schedule"]["step"] == 7
    assert checkpoint["optimizer"]["param_groups"][0]["momentum"] == 0.9
    code, _, err = call(*flags, "--steps", 7, "--epochs", 2)
    assert (code, err.count("\n")) == (2, 1)
    assert "--epochs and --steps are mutually exclusive" in err


def test_a_backbone_that_is_run_once_is_not_spread_over_processes(call, flags):
    code, _, err = call("--epochs", 1, *flags, "--shard")
    assert (code, err.count("\n")) == (2, 1)
    assert "--no_cache" in err


def test_random_weights_are_stamped_everywhere(call, flags, tmp_path):
    code, out, _ = call("--epochs", 1, *flags, "--weights", "random", "--image_size", "16x12")
    assert code == 0
    assert out.count("RANDOM WEIGHTS") >= 2
    run = tmp_path / "runs/ViTModelTransferLearning"
    assert json.loads((run / "run.json").read_text())["stamps"] == ["RANDOM WEIGHTS"]
    assert load_checkpoint(run / "best.pt")["stamps"] == ["RANDOM WEIGHTS"]


def test_no_data_is_the_phantom_here_too(small_demo, call, weights, tmp_path):
    code, out, err = call("--epochs", 1, "--weights", weights)
    assert (code, err) == (0, "")
    assert "PHANTOM DEMO" in out
    assert "ceiling" in out


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--weights", "IMAGENET22K"], "IMAGENET22K"),
        (["--model", "vit_q"], 'unknown pretrained model "vit_q"'),
        (["--model", "vit_q"], "(--model)"),
        (["--model", "resnet18", "--backbone", "ours"], "resnet18"),
        (["--train", "last:9"], "--train last:9, but vit_b_16 has 2 blocks"),
        (["--image_size", "17x12"], "image size 17x12 is not a multiple"),
        (["--image_size", "17x12"], "--image_size"),
        (["--train_dir", "nowhere"], "train folder nowhere does not exist"),
        (["--train_dir", "nowhere", "--weights", "nowhere.pth"], "train folder nowhere"),   # before weights are sought
        (["--num_classes", "5"], "--num_classes 5, but the data has 2 classes"),
        (["--patch_size", "8"], "--patch_size"),
        (["--recipe", str(ROOT / "recipes/demo.yaml")], "not a setting"),
        (["--mixup", "0.4"], "--mixup mixes images, and the cached features of a frozen backbone have none"),
        (["--drop_path", "0.1"], "--drop_path has no effect on a frozen backbone"),
        (["--drop_path", "0.1", "--no_cache"], "--drop_path has no effect on a frozen backbone"),
        (["--drop_path", "0.1", "--train", "all", "--model", "resnet18"], "drop_path 0.1 has no effect on resnet18"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_leaves_nothing(call, flags, tmp_path, extra, complaint):
    code, _, err = call("--epochs", 1, *flags, *extra)
    assert code == 2
    assert err.startswith("error: ")
    assert complaint in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("runs/ViT*"))


def test_a_scratch_run_is_not_resumed_by_the_wrong_script(call, paused_run):
    code, _, err = call("--resume", "runs/ViTModel")
    assert code == 2
    assert "another script" in err


def test_the_schedule_ends_with_the_steps(call, flags, tmp_path):
    """Four batches an epoch, seven steps: linear decay without warm-up stands at 1 - 6/7 in the last of them."""
    call(*flags, "--steps", 7, "--schedule", "linear", "--warmup_share", 0)
    rates = pd.read_csv(tmp_path / "runs/ViTModelTransferLearning/results.csv")["learning_rate"]
    assert rates.tolist() == pytest.approx([0.01 * (1 - 3 / 7), 0.01 * (1 - 6 / 7)])


def test_layers_learn_at_rates_of_their_own(call, flags, tmp_path):
    """Two blocks, decay 0.5: embedding 1/8, blocks 1/4 and 1/2, norm and head 1; frozen parts have none."""
    for name, part, expected in (("all", "all", {0.125, 0.25, 0.5, 1.0}), ("last", "last:1", {0.5, 1.0})):
        call("--epochs", 1, *flags, "--train", part, "--layer_decay", 0.5, "--schedule", "constant",
             "--warmup_share", 0, "--name", name)
        groups = load_checkpoint(tmp_path / "runs" / name / "last.pt")["optimizer"]["param_groups"]
        assert {round(group["lr"] / 0.01, 6) for group in groups} == expected


@pytest.mark.parametrize("extra", [[], ["--no_cache"], ["--train", "all"]])
def test_weights_that_make_the_first_loss_nan_are_named_and_not_the_rate(call, flags, weights, tmp_path, extra):
    state = torch.load(weights)
    state["conv_proj.weight"].fill_(3e38)
    torch.save(state, tmp_path / "huge.pth")
    code, _, err = call("--epochs", 1, *flags, "--weights", "huge.pth", *extra)
    assert (code, err.count("\n")) == (2, 1)
    assert "huge.pth" in err
    assert "are the cause" in err
    assert "--lr" not in err
