"""Checkpoints: one self-contained file to resume training from, or to rebuild the model.

A checkpoint is a dict of tensors and plain types, loadable with `weights_only=True`, so that opening it never runs
code. Frozen weights, which do not change during a run, are stored once, in frozen.pt next to the checkpoints.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from functions.checkpointing.optimizer_state import check_optimizer_fits
from functions.checkpointing.schema import FORMAT, check_checkpoint, check_shapes, check_weights
from functions.runtime.atomic_files import write_atomically
from functions.runtime.device import restore_rng_states, rng_states
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.sharding import distribute_like, full_state, load_optimizer
from models import HybridConfig, ViTConfig, make_model
from models.pretrained.torch_files import read_torch_file
from models.pretrained.weight_files import FROZEN, frozen_weights


def config_to_plain(config) -> dict:
    """A ViTConfig, HybridConfig or TransferConfig as plain types, with its kind; `config_from_plain` is the inverse."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
    return plain | {"kind": type(config).__name__}


def config_from_plain(plain: dict) -> Any:
    """The config of a checkpoint; entries that older versions did not write have their defaults.

    Raises UserError for an invalid config.
    """
    kinds: dict[str, Any] = {"ViTConfig": ViTConfig, "HybridConfig": HybridConfig}
    if plain.get("kind") == "TransferConfig":
        from models.transfer import TransferConfig

        kinds["TransferConfig"] = TransferConfig
    if (kind := str(plain.get("kind", "ViTConfig"))) not in kinds:
        raise UserError(f"config.kind is {kind[:40]!r}, none of ViTConfig, HybridConfig and TransferConfig")
    fields = {name: value for name, value in plain.items() if name != "kind"}
    known = kinds[kind].__dataclass_fields__
    if unknown := sorted(str(name) for name in fields if name not in known):
        raise UserError(f"config.{unknown[0][:40]} is unknown; {kind} has {', '.join(known)}")
    try:
        return kinds[kind](**fields)
    except UserError as error:
        raise UserError(f"config: {error}") from None


def build_model(plain: dict) -> nn.Module:
    """The model described by a checkpoint's config, without its weights; raises UserError for an invalid config."""
    config = config_from_plain(plain)
    if isinstance(config, ViTConfig):
        return make_model(config)
    from models.transfer import TransferModel

    return TransferModel(config)


def frozen_names(model: nn.Module) -> set[str]:
    """Names of all frozen tensors: those of modules whose own parameters are all frozen."""
    names = set()
    for prefix, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            direct = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
            names |= {f"{prefix}.{name}" if prefix else name for name, _ in direct}
    return names & set(model.state_dict())


def frozen_digest(model: nn.Module) -> str:
    """A hash of the names and values of the frozen tensors; "" if there are none."""
    names, state = frozen_names(model), full_state(model.state_dict(), everywhere=True)
    return _digest({name: state[name] for name in names}) if names else ""


def _digest(weights: dict[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_frozen(folder: Path, model: nn.Module, digest: str) -> None:
    """Writes the frozen weights, whose hash is `digest`, unless there are none or an intact file exists."""
    if digest and not _holds(folder / FROZEN, digest):
        names = frozen_names(model)
        weights = full_state({name: value for name, value in model.state_dict().items() if name in names})
        weights = {name: value.cpu() for name, value in weights.items()}
        save_checkpoint(folder / FROZEN, {"digest": digest, "weights": weights})


def _holds(path: Path, digest: str) -> bool:
    try:
        return _open(path)["digest"] == digest
    except (UserError, TypeError, KeyError):     # damaged, or not written by save_frozen
        return False


def make_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    *,
    epoch: int,
    history: dict[str, list[float]],
    best: dict,
    class_names: list[str],
    preprocessing: dict,
    split_hash: str,
    fingerprint: str,
    stamps: list[str],
    frozen: str = "",
    precision: str = "fp32",
    seen: dict[str, list[str]] | None = None,
) -> dict:
    """Everything that the next epoch, or a user of this model, depends on, including the RNG states.

    If the weights are sharded, all processes must call it. `frozen` is the hash of the weights in frozen.pt, which are
    omitted here ("": no frozen weights). `seen` holds the patients and slice hashes used for training and selection.
    `precision` is used for training and for scoring.
    """
    left_out = frozen_names(model) if frozen else set()
    return {
        "format": FORMAT,
        "weights": full_state({name: value for name, value in model.state_dict().items() if name not in left_out}),
        "frozen": frozen,
        "config": config_to_plain(model.config),
        "class_names": class_names,
        "preprocessing": preprocessing,
        "epoch": epoch,
        "optimizer": full_state(optimizer.state_dict()),
        "schedule": {"step": scheduler.last_epoch},
        "scaler": scaler.state_dict(),
        "rng": rng_states(),
        "history": history,
        "best": best,
        "split_hash": split_hash,
        "fingerprint": fingerprint,
        "stamps": stamps,
        "precision": precision,
        "seen": seen or {"subjects": [], "digests": []},
    }


def save_checkpoint(path: str | Path, checkpoint: dict, before_renaming: Callable[[], None] = lambda: None) -> None:
    """Writes a checkpoint atomically: `path` is always either the old or the complete new file."""
    write_atomically(path, lambda file: torch.save(checkpoint, file), before_renaming)


def read_plain(path: Path) -> object:
    """The content of a file written by this project with torch.save; raises UserError if it is damaged."""
    return read_torch_file(path)


def _open(path: Path):
    if why := not_a_file(path):
        raise UserError(f"checkpoint {path}: {why}")
    try:
        return read_plain(path)
    except UserError as error:
        raise UserError(f"checkpoint {path} is damaged, or holds more than plain data ({error})") from None


def load_checkpoint(path: str | Path) -> dict:
    """Reads a checkpoint on the CPU; raises UserError if the file is missing, damaged or not a checkpoint."""
    content = _open(Path(path))
    try:
        return check_checkpoint(content)
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from None


def restore(
    checkpoint: dict,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    scaler: torch.amp.GradScaler,
) -> None:
    """Restores model, optimiser, schedule, scaler and RNG states from a checkpoint, whose averages are not loaded.

    Only the step of the schedule is restored. The factor at that step is computed by the current schedule, so a run
    with more epochs continues on the longer curve.
    """
    theirs, ours = config_to_plain(config_from_plain(checkpoint["config"])), config_to_plain(model.config)
    if differing := [key for key in (*ours, *theirs) if theirs.get(key) != ours.get(key)]:
        key = differing[0]
        raise UserError(f"the checkpoint is of another model: its config.{key} is {theirs.get(key)!r:.60}, but the "
                        f"settings in run.json give {ours.get(key)!r:.60}")
    if checkpoint["frozen"] != frozen_digest(model):
        raise UserError("the frozen weights are not those of this run")
    load_weights(model, checkpoint["weights"] | checkpoint["unaveraged"].get("weights", {}))
    check_optimizer_fits(checkpoint["optimizer"], optimizer)
    load_optimizer(optimizer, checkpoint["optimizer"])
    scheduler.last_epoch = checkpoint["schedule"]["step"]
    factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
    for group, base_lr in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
        group["lr"] = base_lr * factor
    if checkpoint["scaler"]:            # empty if the run was resumed in another precision than fp16
        scaler.load_state_dict(checkpoint["scaler"])
    restore_rng_states(checkpoint["rng"])


def load_weights(model: nn.Module, weights: dict) -> None:
    """Loads all weights that are not frozen; raises UserError for missing or unexpected names and wrong shapes."""
    state, frozen = model.state_dict(), frozen_names(model)
    try:
        check_shapes(weights, {name: value for name, value in state.items() if name not in frozen})
    except UserError as error:
        raise UserError(f"the checkpoint is of another model: {error}") from None
    model.load_state_dict({name: distribute_like(value, state[name]) for name, value in weights.items()}, strict=False)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[nn.Module, dict]:
    """The model of a checkpoint in eval mode, and the checkpoint itself (class names, preprocessing, …)."""
    try:
        checkpoint = load_checkpoint(path)
    except UserError as error:
        if not_a_file(path):
            raise
        raise UserError(f"{error}; if it belongs to a run, recover it from another checkpoint with its "
                        "training script's --resume") from None
    try:
        weights = checkpoint["weights"]
        if checkpoint["frozen"]:
            kept = check_weights(frozen_weights(Path(path).parent / FROZEN, checkpoint["frozen"], Path(path)))
            if _digest(kept) != checkpoint["frozen"]:
                raise UserError(f"the weights in {FROZEN} next to it are not those of this run")
            weights = weights | kept
        layers = checkpoint["config"].get("num_layers", 0)
        if type(layers) is int and layers > len(weights):          # before a model of this size is built
            raise UserError(f"config.num_layers is {layers}, the file holds {len(weights)} tensors")
        with torch.device("meta"):
            model = build_model(checkpoint["config"])
        check_shapes(weights, model.state_dict())
    except UserError as error:
        raise UserError(f"checkpoint {path}: {error}") from None
    model.load_state_dict(weights, assign=True)
    return model.to(device).eval(), checkpoint
