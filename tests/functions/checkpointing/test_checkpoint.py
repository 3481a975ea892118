import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from functions import engine
from functions.checkpointing.checkpoint import (
    build_model,
    frozen_digest,
    frozen_names,
    load_checkpoint,
    load_model,
    make_checkpoint,
    restore,
    save_checkpoint,
    save_frozen,
)
from functions.runtime.device import set_seeds
from functions.runtime.errors import UserError
from functions.training.optimisation import make_optimizer
from functions.training.schedules import make_schedule
from models import ViT, ViTConfig
from tests.conftest import NO_FILES
from tests.functions.plain import curves

CPU = torch.device("cpu")
FACTS = {"class_names": ["AD", "CN"],
         "preprocessing": {"image_size": [8, 12], "channels": 1, "mean": [0.3], "std": [0.2]}, "split_hash": "abc",
         "fingerprint": "def", "stamps": []}


def make_run(epochs=4):
    set_seeds(0)
    model = ViT(ViTConfig(image_size=(8, 12), patch_size=4, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                          mlp_size=20, num_classes=2, dropout=0.2, gelu="tanh"))
    optimizer = make_optimizer(model, "adamw", 1e-2, 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", epochs, 3, 0.2))
    return model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False)


def learn(run):
    """One epoch on shuffled data: uses dropout's and the order's random numbers."""
    model, optimizer, scheduler, scaler = run
    generator = torch.Generator().manual_seed(7)
    images, labels = torch.randn(9, 1, 8, 12, generator=generator), torch.randint(0, 2, (9,), generator=generator)
    order = torch.randperm(9)
    data = list(zip(images[order].split(3), labels[order].split(3), strict=True))
    engine.train_step(model, data, nn.CrossEntropyLoss(), optimizer, CPU, scheduler=scheduler, scaler=scaler)


def checkpoint_of(run, epoch):
    return make_checkpoint(*run, epoch=epoch, history=curves(epoch), best={"epoch": 1}, **FACTS)


def test_two_epochs_and_two_more_equal_four(tmp_path):
    whole = make_run()
    for _ in range(4):
        learn(whole)
    first = make_run()
    for _ in range(2):
        learn(first)
    save_checkpoint(tmp_path / "last.pt", checkpoint_of(first, 2))
    torch.randn(100)
    random.random()
    np.random.rand()  # noqa: NPY002
    second = make_run()
    restore(load_checkpoint(tmp_path / "last.pt"), *second)
    for _ in range(2):
        learn(second)
    for (name, expected), value in zip(whole[0].state_dict().items(), second[0].state_dict().values(), strict=True):
        assert torch.equal(expected, value), name
    assert whole[1].param_groups[0]["lr"] == second[1].param_groups[0]["lr"]


@pytest.mark.parametrize("draw", [lambda: torch.rand(3).tolist(), random.random, np.random.rand])
def test_every_random_number_generator_comes_back(tmp_path, draw):
    run = make_run()
    save_checkpoint(tmp_path / "last.pt", checkpoint_of(run, 1))
    expected = draw()
    draw()
    restore(load_checkpoint(tmp_path / "last.pt"), *run)
    assert draw() == expected


def test_a_longer_run_goes_on_along_the_longer_schedule(tmp_path):
    short = make_run(epochs=2)
    learn(short)
    save_checkpoint(tmp_path / "last.pt", checkpoint_of(short, 1))
    long = make_run(epochs=9)
    restore(load_checkpoint(tmp_path / "last.pt"), *long)
    assert long[1].param_groups[0]["lr"] == pytest.approx(1e-2 * make_schedule("cosine", 9, 3, 0.2)(3))


def test_model_is_rebuilt_from_the_file_alone(tmp_path):
    run = make_run()
    learn(run)
    save_checkpoint(tmp_path / "best.pt", checkpoint_of(run, 1))
    model, checkpoint = load_model(tmp_path / "best.pt")
    images = torch.randn(2, 1, 8, 12)
    assert model.config == run[0].config
    assert torch.equal(model(images), run[0].eval()(images))
    assert not model.training
    assert {key: checkpoint[key] for key in FACTS} == FACTS


class Trap:
    """A pickle that runs code when it is opened carelessly."""

    def __reduce__(self):
        return (open, ("trap_was_sprung", "w"))


def test_damaged_foreign_and_malicious_files_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("good.pt", checkpoint_of(make_run(), 1))
    whole = Path("good.pt").read_bytes()
    Path("cut.pt").write_bytes(whole[: len(whole) // 2])
    Path("empty.pt").write_bytes(b"")
    torch.save({"weights": {}}, "foreign.pt")
    torch.save({"format": 1, "trap": Trap()}, "trap.pt")
    Path("pickle.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("missing.pt", "cut.pt", "empty.pt", "foreign.pt", "trap.pt", "pickle.pt"):
        with pytest.raises(ValueError, match=name) as refusal:
            load_checkpoint(name)
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "trap_was_sprung").exists()


def frozen_run():
    run = make_run()
    run[0].patch_embedding.requires_grad_(False)
    run[0].encoder[0].requires_grad_(False)
    return run[0], make_optimizer(run[0], "adamw", 1e-2, 0.1), *run[2:]


def test_frozen_weights_are_kept_once_and_the_model_is_still_rebuilt(tmp_path):
    run = frozen_run()
    digest = frozen_digest(run[0])
    save_frozen(tmp_path, run[0], digest)
    save_checkpoint(tmp_path / "best.pt", make_checkpoint(*run, epoch=1, history=curves(1),
                                                          best={"epoch": 1}, **FACTS | {"frozen": digest}))
    kept = load_checkpoint(tmp_path / "best.pt")["weights"]
    assert not any(name.startswith(("patch_embedding.", "encoder.0.")) for name in kept)
    assert {"classifier.weight", "norm.bias", "encoder.1.mlp_block.mlp.0.weight"} <= set(kept)
    model, _ = load_model(tmp_path / "best.pt")
    for name, value in run[0].state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    restore(load_checkpoint(tmp_path / "best.pt"), *frozen_run())


def test_frozen_weights_of_another_run_are_refused(tmp_path):
    run, other = frozen_run(), frozen_run()
    with torch.no_grad():
        other[0].patch_embedding.class_token += 1e-3
    digest = frozen_digest(run[0])
    checkpoint = make_checkpoint(*run, epoch=1, history=curves(1), best={"epoch": 1}, **FACTS | {"frozen": digest})
    save_checkpoint(tmp_path / "best.pt", checkpoint)
    with pytest.raises(ValueError, match="not those of this run"):
        restore(load_checkpoint(tmp_path / "best.pt"), *other)
    with pytest.raises(ValueError, match="frozen.pt: no such file"):
        load_model(tmp_path / "best.pt")
    save_frozen(tmp_path, other[0], frozen_digest(other[0]))
    with pytest.raises(ValueError, match="frozen.pt does not hold the frozen weights that belong to"):
        load_model(tmp_path / "best.pt")


@pytest.mark.parametrize(("name", "value", "complaint"), [
    ("patch_embedding.class_token", torch.ones(1, 1, 12), "not those of this run"),
    ("patch_embedding.class_token", torch.full((1, 1, 12), float("nan")), "not finite"),
    ("surplus", torch.ones(2), "not those of this run")])
def test_frozen_weights_that_were_changed_under_the_same_name_are_refused(tmp_path, name, value, complaint):
    run = frozen_run()
    digest = frozen_digest(run[0])
    save_frozen(tmp_path, run[0], digest)
    save_checkpoint(tmp_path / "best.pt", make_checkpoint(*run, epoch=1, history=curves(1), best={"epoch": 1},
                                                          **FACTS | {"frozen": digest}))
    kept = torch.load(tmp_path / "frozen.pt", weights_only=True)
    torch.save(kept | {"weights": kept["weights"] | {name: value}}, tmp_path / "frozen.pt")
    with pytest.raises(ValueError, match=complaint):
        load_model(tmp_path / "best.pt")


def test_nothing_is_frozen_in_a_model_that_learns():
    assert frozen_digest(make_run()[0]) == ""


def test_running_statistics_of_a_frozen_norm_are_frozen_with_it():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Linear(2, 2))
    net[:2].requires_grad_(False)
    assert frozen_names(net) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var",
                                 "1.num_batches_tracked"}


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True), (True, True)])
def test_a_run_goes_on_at_another_precision(tmp_path, before, after):
    """fp16 scales its loss, fp32 and bf16 do not: the scale is restored where there is one on both sides."""
    run, other = ([*make_run()[:3], torch.amp.GradScaler("cpu", init_scale=scale, enabled=enabled)]
                  for enabled, scale in ((before, 8.0), (after, 4.0)))
    save_checkpoint(tmp_path / "last.pt", checkpoint_of(run, 1))
    restore(load_checkpoint(tmp_path / "last.pt"), *other)
    assert other[3].get_scale() == (8.0 if before and after else 4.0 if after else 1.0)


def test_the_scale_of_fp16_goes_on_where_it_was(tmp_path):
    *run, _ = make_run()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    for _ in range(2):
        learn((*run, scaler))                                 # three steps each: the scale has doubled twice
    save_checkpoint(tmp_path / "last.pt", checkpoint_of((*run, scaler), 1))
    again = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=3)
    restore(load_checkpoint(tmp_path / "last.pt"), *run, again)
    assert again.get_scale() == scaler.get_scale() == 4096
    assert again.state_dict() == scaler.state_dict()


def test_a_checkpoint_of_another_model_names_the_size_that_differs(tmp_path):
    run = make_run()
    save_checkpoint(tmp_path / "last.pt", checkpoint_of(run, 1))
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    checkpoint["config"]["mlp_size"] = 7
    with pytest.raises(ValueError, match=r"config.mlp_size is 7, but the settings in run.json give"):
        restore(checkpoint, *run)


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "best.pt")
    with pytest.raises(UserError, match=f"checkpoint .*best.pt: {kind}"):
        load_checkpoint(tmp_path / "best.pt")


OLD = {       # last.pt of tiny runs of earlier commits, and the logits that their own code computed
    "da816da": [0.0026253482792526484, 0.0007675117230974138, -0.005235785618424416],
    "702c594": [0.002799981040880084, 0.00016702787252143025, -0.005416220054030418],
}


@pytest.mark.parametrize("commit", OLD)
def test_checkpoints_of_earlier_commits_give_their_logits(commit):
    model, checkpoint = load_model(Path(__file__).with_name(f"checkpoint_{commit}.pt"))
    with torch.inference_mode():
        logits = model(torch.linspace(-1, 1, 16 * 16).reshape(1, 1, 16, 16))
    torch.testing.assert_close(logits, torch.tensor([OLD[commit]]), atol=1e-6, rtol=0)
    assert checkpoint["class_names"] == ["MildDemented", "NonDemented", "VeryMildDemented"]


def test_a_checkpoint_of_an_earlier_commit_is_resumed_also_without_the_kind_of_its_config():
    """The oldest have no config.kind. (Those of the first day have their parameter groups in another order.)"""
    checkpoint = load_checkpoint(Path(__file__).with_name("checkpoint_702c594.pt"))
    del checkpoint["config"]["kind"]
    model = build_model(checkpoint["config"])
    optimizer = make_optimizer(model, "adamw", 1e-3, 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_schedule("cosine", 4, 3, 0.1))
    restore(checkpoint, model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False))
    assert scheduler.last_epoch == 6
    moments, theirs = optimizer.state_dict()["state"], checkpoint["optimizer"]["state"]
    assert moments.keys() == theirs.keys()
    assert all(torch.equal(moments[key]["exp_avg"], theirs[key]["exp_avg"]) for key in theirs)
