from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from data_setup.images.resize import from_description
from data_setup.loading.transforms import make_transforms
from functions.checkpointing.checkpoint import (
    build_model,
    config_to_plain,
    load_checkpoint,
    load_model,
    make_checkpoint,
    restore,
)
from functions.checkpointing.schema import check_checkpoint
from functions.runtime.errors import UserError
from functions.training.averaging import WeightAverage
from functions.training.optimisation import make_optimizer
from models import HybridConfig, ViT, make_model
from tests.functions.plain import CONFIG, NAN, curves, hostile_pairs, places, plain_checkpoint, refusal, with_value


def changed(path, value):
    """A checkpoint with the entry at this path, keys with slashes between, changed, or gone where `value` is `...`."""
    keys = [int(part) if part.isdigit() else part for part in path.split("/")]
    return with_value(plain_checkpoint(), keys, value)


def test_a_whole_checkpoint_is_read(tmp_path):
    torch.save(plain_checkpoint(), tmp_path / "best.pt")
    model, checkpoint = load_model(tmp_path / "best.pt")
    assert model.config == CONFIG
    assert checkpoint["stamps"] == []


HYBRID = HybridConfig(image_size=(32, 64), patch_size=32, in_channels=1, num_layers=2, embedding_dim=12, num_heads=3,
                      mlp_size=20, num_classes=2, units=(), stem_patch=8, stem_width=32)


def hybrid_checkpoint(**changes):
    """The checkpoint of a small hybrid with some fields of its config changed, or gone where they are `...`."""
    torch.manual_seed(0)
    content = plain_checkpoint(weights=make_model(HYBRID).state_dict())
    content["preprocessing"]["image_size"] = [32, 64]
    fields = config_to_plain(HYBRID) | changes
    return content | {"config": {name: value for name, value in fields.items() if value is not ...}}


def test_a_hybrids_checkpoint_is_read(tmp_path):
    torch.save(hybrid_checkpoint(), tmp_path / "best.pt")
    model, checkpoint = load_model(tmp_path / "best.pt")
    assert model.config == HYBRID
    assert type(model) is type(make_model(HYBRID))
    assert all(torch.equal(value, checkpoint["weights"][name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("field", "values"), [
    ("units", (..., None, -1, 10**9, "x", [10**9], [-1], [0], [1.0], [True], [None], ["3"], [[1]], [1] * 10**5, [1, 1],
               {"a": 1}, torch.ones(2), [100, 100, 100, 100])),
    ("stem_patch", (None, 0, -8, 10**9, 8.0, "8", True, [8], 2**14)),
    ("stem_width", (..., None, 0, -32, 48, 10**9, 32.0, "32", [32], 1024)),
    ("patch_size", (..., None, 16, -32, 10**9, "32", [32])), ("num_layers", (10**9, 1000, -1)),
    ("kind", (..., "ViTConfig", "Hybrid", None, 3)), ("colour", (3,)),
])
def test_a_hybrids_config_that_cannot_be_is_one_line(tmp_path, field, values):
    for value in values:
        torch.save(hybrid_checkpoint(**{field: value}), tmp_path / "best.pt")
        assert refusal(lambda: load_model(tmp_path / "best.pt")), f"{field} = {value!r:.60} is accepted"


def test_a_checkpoint_without_test_curves_is_read(tmp_path):
    content = plain_checkpoint()
    content["history"] = {name: values for name, values in content["history"].items() if not name.startswith("test")}
    torch.save(content, tmp_path / "best.pt")
    assert len(load_model(tmp_path / "best.pt")[1]["history"]) == 4


def test_a_checkpoint_of_before_some_entries_were_written_is_read(tmp_path):
    older = {name: value for name, value in plain_checkpoint().items()
             if name not in ("frozen", "seen", "extra", "stamps", "split_hash", "fingerprint")}
    torch.save(older, tmp_path / "best.pt")
    _, checkpoint = load_model(tmp_path / "best.pt")
    assert (checkpoint["seen"], checkpoint["frozen"]) == ({"subjects": [], "digests": []}, "")


@pytest.mark.parametrize(("path", "value", "complaint"), [
    *((name, value, name) for name in ("weights", "config", "class_names", "preprocessing", "epoch", "optimizer",
                                       "schedule", "rng", "history", "best") for value in (..., 3.5, None, "x")),
    ("weights/classifier.bias", torch.full((2,), NAN), "weights.classifier.bias .*not finite"),
    ("weights/classifier.bias", torch.full((2,), float("inf")), "weights.classifier.bias .*not finite"),
    ("weights/classifier.bias", torch.ones(2, dtype=torch.complex64), "weights.classifier.bias holds complex"),
    ("weights/classifier.bias", torch.ones(2, dtype=torch.int8), "weights.classifier.bias holds int8"),
    ("weights/classifier.bias", [1.0, 2.0], "weights.classifier.bias is list"),
    ("weights/classifier.bias", torch.ones(2).to_sparse(), "weights.classifier.bias is not a plain"),
    ("weights/classifier.bias", torch.ones(()).expand(10**9), "more numbers than the file holds"),
    ("preprocessing/std", [0], "preprocessing.std is .0."), ("preprocessing/std", [-1.0], "preprocessing.std"),
    ("preprocessing/std", [NAN], "preprocessing.std"), ("preprocessing/std", ..., "preprocessing.std"),
    ("preprocessing/mean", "0.3", "preprocessing.mean"), ("preprocessing/mean", [None], "preprocessing.mean"),
    ("preprocessing/mean", [0.1, 0.2, 0.3], "preprocessing.mean and std are not one"),
    ("preprocessing/channels", 3, "preprocessing.channels is 3"),
    ("preprocessing/image_size", [8, 8], "preprocessing.image_size"),
    ("config/dropout", torch.tensor([]), "config.dropout is Tensor"),
    ("config/image_size", [torch.ones(2)], "config.image_size is"),
    ("preprocessing/fit", {"a": 1}, "preprocessing.fit is dict"),
    ("class_names", ["AD"], "config.num_classes is 2, there are 1"), ("class_names", [], "class_names"),
    ("class_names", ["AD", "AD"], "class_names"), ("class_names", ["AD", 2], "class_names"),
    ("epoch", -1, "epoch"), ("epoch", True, "epoch"), ("epoch", 10**12, "history"),
    ("history/train_loss", [0.5, NAN], "history.train_loss"), ("history/train_loss", [0.5], "history.train_loss"),
    ("history/train_loss", ["a", "b"], "history.train_loss"), ("extra", [1, 2], "extra"), ("extra", [{}], "extra"),
    ("extra", [{"learning_rate": "x"}] * 2, "extra"), ("best", {"lowest": [1.0]}, "best.epoch"),
    ("best/lowest", [NAN], "best.lowest"), ("schedule/step", 1.5, "schedule.step"), ("schedule", {}, "schedule.step"),
    ("scaler", {"scale": NAN}, "scaler"), ("seen", {"subjects": "x", "digests": []}, "seen.subjects"),
    ("seen", {"subjects": [], "digests": [], "folders": [1]}, "seen.folders"),
    ("seen", {}, "seen.subjects"), ("stamps", [3], "stamps"), ("frozen", 3, "frozen"),
    ("optimizer", {}, "optimizer"), ("optimizer/state", {0: 3}, "optimizer.state"),
    ("optimizer/state", {0: {"exp_avg": torch.full((2,), NAN)}}, "optimizer.state.0"),
    ("optimizer/state", {0: {"exp_avg": torch.ones(2, dtype=torch.complex64)}}, "optimizer.state.0"),
    ("weights/bn.running_var", torch.tensor([1.0, -1.0]), "weights.bn.running_var holds -1, but must be non-negative"),
    ("optimizer/state", {0: {"exp_avg_sq": torch.tensor([1.0, -1.0])}}, "optimizer.state.0.exp_avg_sq holds -1"),
    ("optimizer/state", {0: {"max_exp_avg_sq": torch.tensor([-2.0])}}, "optimizer.state.0.max_exp_avg_sq holds -2"),
    ("optimizer/state", {0: {"step": torch.tensor(-1.0)}}, "optimizer.state.0.step holds -1"),
    ("optimizer/state", {0: {"step": 1.0}}, "optimizer.state.0.step is float 1.0, not a tensor"),
    ("optimizer/state", {0: {"exp_avg": None}}, "optimizer.state.0.exp_avg is NoneType None, not a tensor"),
    ("optimizer/state", {0: {"exp_avg": torch.ones(2).half()}}, "optimizer.state.0.exp_avg holds .*float32"),
    ("optimizer/param_groups", [{"params": [0], "betas": torch.ones(2)}], "optimizer.param_groups.betas"),
    ("format", torch.zeros(2), "no format 1"), ("format", True, "no format 1"), ("frozen", torch.zeros(2), "frozen"),
    ("config/norm_eps", 10**400, "config.norm_eps is int of 1329 bits"), ("schedule/step", 10**400, "schedule.step"),
    ("epoch", 10**30, "epoch is int of"), ("epoch", 0, "epoch"), ("best", {}, "best.epoch"),
    ("best/epoch", 3, "best.epoch is int 3, not an integer from 1 to 2"), ("best/lowest", [], "best.lowest"),
    ("extra", [{"learning_rate": 0.1}] * 2, "extra.train_seconds is missing"),
    ("extra", [{"train_seconds": 1, "epoch": 2}] * 2, "extra.epoch is unexpected"),
    ("history/val_loss", ..., "history.val_loss is missing"), ("history/test_acc", ..., "history.test_acc is missing"),
    ("history/train_loss", ..., "history.train_loss is missing"),
    ("history/epoch", [1.0, 2.0], "history.epoch is unexpected"), ("history/\ud800", [1.0, 2.0], "history"),
    ("scaler", {"scale": 1.0}, "scaler.growth_factor is missing"),
    *(("preprocessing/channels", value, "preprocessing.channels") for value in (..., True, 1.0, None)),
    ("preprocessing/mean", [True], "preprocessing.mean"),
    ("preprocessing/mean", [10**30], "preprocessing.mean"), ("config/image_size", 8, "preprocessing.image_size"),
    ("stamps", ["\ud800"], "stamps contains a lone surrogate"),
    ("class_names", ["a", "b\0"], "class_names contains a NUL"),
    ("stamps", ["x" * 100_000], "stamps has 100,000 characters, more than 1,000"),
    ("stamps", ["x"] * 101, "stamps are 101"),
    ("run_id", "\0", "run_id contains a NUL"), ("split_hash", "y" * 5000, "split_hash has 5,000 characters"),
    ("rng/python", [torch.tensor(3), [1] * 625, None], "rng.python"),
    ("rng/numpy", ["MT19937", [1] * 624, torch.tensor(0), 0, 0.0], "rng.numpy"),
    ("rng/numpy", ["MT19937", [1] * 624, 0, torch.tensor(0), 0.0], "rng.numpy"),
    ("optimizer/param_groups", [{"lr": NAN, "params": [0]}], "optimizer.param_groups"),
    ("optimizer/param_groups", [{"params": [0, 0]}], "optimizer.param_groups"),
    ("optimizer/param_groups", [{"params": "x"}], "optimizer.param_groups"),
    ("rng/python", [3, [1], None], "rng.python"), ("rng/python", None, "rng.python"),
    ("rng/numpy", ["MT19937", [1], 0, 0, 0.0], "rng.numpy"),
    ("rng/numpy", ["PCG64", [1] * 624, 0, 0, 0.0], "rng.numpy"),
    ("rng/torch", torch.ones(3, dtype=torch.uint8), "rng.torch"), ("rng/torch", torch.ones(5056), "rng.torch"),
    ("rng/cuda", 3, "rng.cuda"), ("rng/cuda", [torch.ones(2)], "rng.cuda"), ("rng", {}, "rng.python"),
    ("format", 2, "no format 1"),
])
def test_an_entry_that_does_not_fit_is_one_line_with_file_and_key(tmp_path, path, value, complaint):
    torch.save(changed(path, value), tmp_path / "best.pt")
    with pytest.raises(UserError, match=rf"best\.pt: .*{complaint}") as refusal:
        load_checkpoint(tmp_path / "best.pt")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("path", "value", "complaint"), [
    ("config/num_layers", 10**9, "config.num_layers is 1000000000, the file holds"),
    ("config/num_layers", 3, "weights.encoder.2.* is missing"),
    ("config/num_layers", 1, "weights.encoder.1.* is not part of the model"),
    ("config/image_size", [10**6, 10**6], "image_size"), ("config/embedding_dim", 10**9, "embedding_dim"),
    ("config/embedding_dim", 24, "weights.* the model in config has"), ("config/mlp_size", 10**15, "mlp_size"),
    ("config/num_heads", 5, "num_heads"), ("config/patch_size", 0, "patch_size"), ("config/gelu", [1], "gelu"),
    ("config/norm_eps", NAN, "norm_eps"), ("config/dropout", "x", "dropout"), ("config/num_layers", "2", "num_layers"),
    ("config/kind", "Network", "config.kind is 'Network'"), ("config/kind", ["x"], "config.kind"),
    ("config/extra", 1, "config.extra is unknown"),
    ("config", {"kind": "TransferConfig", "model": "vit_b_16", "num_classes": 2, "in_channels": 1,
                "image_size": [8, 12]}, "config: image size 8x12"),
    ("weights/classifier.bias", ..., "weights.classifier.bias is missing"),
    ("weights/classifier.bias", torch.ones(3), r"weights.classifier.bias is \(3,\)"),
    ("weights/surplus", torch.ones(2), "weights.surplus is not part"),
    ("weights/classifier.bias", torch.tensor(3), "weights.classifier.bias is"),
])
def test_a_configuration_is_compared_with_the_tensors_before_a_model_is_built(tmp_path, path, value, complaint):
    checkpoint = changed(path, value)
    if path == "config/image_size":
        checkpoint["preprocessing"]["image_size"] = value
    torch.save(checkpoint, tmp_path / "best.pt")
    with pytest.raises(UserError, match=rf"best\.pt: .*{complaint}") as refusal:
        load_model(tmp_path / "best.pt")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_floating_point_type_become_fp32(tmp_path, dtype):
    checkpoint = plain_checkpoint()
    checkpoint["weights"] = {name: value.to(dtype) for name, value in checkpoint["weights"].items()}
    torch.save(checkpoint, tmp_path / "best.pt")
    model, _ = load_model(tmp_path / "best.pt")
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert model(torch.ones(1, 1, 8, 12)).shape == (1, 2)


@pytest.mark.parametrize(("value", "complaint"), [
    (3, " is int 3"), ({"updates": 1}, ".weights is missing"), ({"weights": {}}, ".updates is missing"),
    ({"weights": {}, "updates": -1}, ".updates is int -1"), ({"weights": [], "updates": 1}, ".weights is list"),
    ({"weights": {}, "updates": 1, "decay": 0.9}, ".decay is unexpected"),
    *(({"weights": {name: tensor}, "updates": 1}, f".weights.{name} {complaint}") for name, tensor, complaint in (
        ("classifier.bias", torch.ones(3), r"is \(3,\)"), ("x", torch.ones(2), "is not part of the model"),
        ("classifier.bias", torch.full((2,), NAN), ".*not finite"),
        ("classifier.bias", torch.ones(2).to_sparse(), "is not a plain"))),
])
def test_weights_beside_their_averages_are_checked_like_these(tmp_path, value, complaint):
    torch.save(plain_checkpoint(unaveraged=value), tmp_path / "best.pt")
    with pytest.raises(UserError, match=rf"best\.pt: unaveraged{complaint}"):
        load_checkpoint(tmp_path / "best.pt")


def test_old_checkpoints_know_no_lowest_losses(tmp_path):
    assert check_checkpoint(plain_checkpoint(best={"epoch": 2}))["best"] == {"epoch": 2}


def trained():
    """The parts of a run of one block, one step on: model, optimiser, schedule, scaler."""
    torch.manual_seed(0)
    model = ViT(replace(CONFIG, num_layers=1))
    optimizer = make_optimizer(model, "adamw", 1e-2, 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    step(model, optimizer)
    return model, optimizer, scheduler, torch.amp.GradScaler("cpu", init_scale=8.0)


def step(model, optimizer):
    model(torch.ones(2, 1, 8, 12)).sum().backward()
    optimizer.step()


@pytest.fixture(scope="module")
def whole():
    """A whole checkpoint of `trained()`, the run's parts, and the paths of its entries, of like ones only some."""
    parts = trained()
    checkpoint = make_checkpoint(*parts, epoch=2, history=curves(2), best={"epoch": 1, "lowest": [0.1, 0.2]}, **{
        name: value for name, value in plain_checkpoint().items() if name in (
            "class_names", "preprocessing", "split_hash", "fingerprint", "stamps", "seen")})
    checkpoint |= {"extra": plain_checkpoint()["extra"], "run_id": "r"}
    checkpoint = WeightAverage(parts[0], 0.9).add_to(checkpoint)
    last = len(parts[1].state_dict()["state"]) - 1
    alike = {("weights",): ("classifier.weight", "classifier.bias"), ("history",): ("train_loss", "test_acc"),
             ("unaveraged", "weights"): ("classifier.weight",), ("optimizer", "state"): (0, last)}
    return checkpoint, parts, [path for path in places(checkpoint) if all(
        path[:len(above)] != above or len(path) == len(above) or path[len(above)] in some
        for above, some in alike.items())]


def go_on(checkpoint, parts):
    """What a script does with a checkpoint after it was read: a step of training, the images, the tables."""
    checkpoint = check_checkpoint(checkpoint)
    restore(checkpoint, *parts)
    if checkpoint["unaveraged"]:
        WeightAverage(parts[0], 0.9).restore(checkpoint)
    step(*parts[:2])
    build_model(checkpoint["config"])
    preprocessing, history = checkpoint["preprocessing"], pd.DataFrame(checkpoint["history"])
    frame = from_description(preprocessing)
    _, transform = make_transforms(preprocessing["mean"], preprocessing["std"], augment=False)
    frame(np.zeros((9, 7, 1), np.uint8))
    transform(torch.zeros(1, 1, *frame.size, dtype=torch.uint8))
    history.join(pd.DataFrame(checkpoint["extra"])).insert(0, "epoch", range(1, checkpoint["epoch"] + 1))
    sum(row["train_seconds"] for row in checkpoint["extra"])
    " ".join((*checkpoint["stamps"], *checkpoint["class_names"], checkpoint["run_id"])).encode()


@pytest.mark.parametrize("shard", range(4))
def test_every_entry_with_any_value_is_one_line_or_trains_on(whole, shard):
    checkpoint, parts, paths = whole
    pairs = hostile_pairs(paths)[shard::4]
    refused = [refusal(lambda path=path, value=value: go_on(with_value(checkpoint, path, value), parts))
               for path, value in pairs]
    assert sum(map(bool, refused)) > len(pairs) / 3
    assert all(p.isfinite().all() for p in parts[0].parameters())


def test_numpys_numbers_in_place_of_plain_ones_are_refused(tmp_path):
    torch.save(plain_checkpoint() | {"epoch": np.int64(2)}, tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"best\.pt is damaged, or holds more than plain data"):
        load_checkpoint(tmp_path / "best.pt")
