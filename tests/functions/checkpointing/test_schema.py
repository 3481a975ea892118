import numpy as np
import pytest
import torch

from functions.checkpointing.checkpoint import load_checkpoint, load_model, restore
from functions.checkpointing.schema import check_checkpoint
from functions.runtime.errors import UserError
from functions.training.optimisation import make_optimizer
from models import ViT
from tests.functions.plain import CONFIG, plain_checkpoint

NAN = float("nan")


def changed(path, value):
    """A checkpoint with the entry at this path, keys with slashes between, changed, or gone where `value` is `...`."""
    checkpoint = plain_checkpoint()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    inner = checkpoint
    for part in parents:
        inner[part] = inner[part].copy()
        inner = inner[part]
    inner[last] = value
    if value is ...:
        del inner[last]
    return checkpoint


def test_a_whole_checkpoint_is_read(tmp_path):
    torch.save(plain_checkpoint(), tmp_path / "best.pt")
    model, checkpoint = load_model(tmp_path / "best.pt")
    assert model.config == CONFIG
    assert checkpoint["stamps"] == []


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
    ("weights/bn.running_var", torch.tensor([1.0, -1.0]), "weights.bn.running_var holds -1, below 0"),
    ("optimizer/state", {0: {"exp_avg_sq": torch.tensor([1.0, -1.0])}}, "optimizer.state.0.exp_avg_sq holds -1"),
    ("optimizer/state", {0: {"max_exp_avg_sq": torch.tensor([-2.0])}}, "optimizer.state.0.max_exp_avg_sq holds -2"),
    ("optimizer/state", {0: {"step": -1.0}}, "optimizer.state.0.step holds -1"),
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


def run():
    model = ViT(CONFIG)
    optimizer = make_optimizer(model, "adamw", 1e-2, 0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    return model, optimizer, scheduler, torch.amp.GradScaler("cpu", enabled=False)


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda state: {"state": {}, "param_groups": state["param_groups"][:1]}, "param_groups are of another"),
    (lambda state: state | {"param_groups": [{"params": group["params"]} for group in state["param_groups"]]}, "lack"),
    (lambda state: state | {"state": {999: {"step": 1.0}}}, "entry 999 without a parameter"),
    (lambda state: state | {"state": {0: {"exp_avg": torch.ones(2, 2, 2)}}}, r"exp_avg is \(2, 2, 2\)"),
])
def test_an_optimisers_state_that_is_of_other_parameters_is_refused_on_resuming(change, complaint):
    parts = run()
    checkpoint = check_checkpoint(plain_checkpoint(optimizer=change(parts[1].state_dict())))
    with pytest.raises(UserError, match=complaint):
        restore(checkpoint, *parts)


def test_numpys_numbers_in_place_of_plain_ones_are_refused(tmp_path):
    torch.save(plain_checkpoint() | {"epoch": np.int64(2)}, tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"best\.pt is damaged, or holds more than plain data"):
        load_checkpoint(tmp_path / "best.pt")
