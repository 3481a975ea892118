"""A checkpoint: one file from which training goes on, or a model is rebuilt, with nothing else given.

A dict of tensors and plain types, loadable with `weights_only=True`: opening one never runs code.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from functions.files import write_atomically
from functions.runtime import restore_rng_states, rng_states
from models import ViT, ViTConfig

FORMAT = 1
NEEDED = {"weights", "config", "class_names", "preprocessing", "epoch", "optimizer", "schedule", "scaler", "rng",
          "history", "best"}


def config_to_plain(config: ViTConfig) -> dict:
    """A ViTConfig as plain types; ViTConfig(**plain) makes it again."""
    return asdict(config) | {"image_size": list(config.image_size)}


def make_checkpoint(
    model: ViT,
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
) -> dict:
    """Everything that the next epoch, or a reader of this model, depends on, RNG states included."""
    return {
        "format": FORMAT,
        "weights": model.state_dict(),
        "config": config_to_plain(model.config),
        "class_names": class_names,
        "preprocessing": preprocessing,
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "schedule": {"step": scheduler.last_epoch},
        "scaler": scaler.state_dict(),
        "rng": rng_states(),
        "history": history,
        "best": best,
        "split_hash": split_hash,
        "fingerprint": fingerprint,
        "stamps": stamps,
    }


def save_checkpoint(path: str | Path, checkpoint: dict) -> None:
    """Writes a checkpoint atomically: `path` is the old one or the whole new one, whatever happens."""
    write_atomically(path, lambda file: torch.save(checkpoint, file))


def load_checkpoint(path: str | Path) -> dict:
    """Reads a checkpoint on the CPU; ValueError, one line, for a file that is missing, damaged or no checkpoint."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint {path}: no such file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:    # an unpickler of damaged bytes can raise anything
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"checkpoint {path} is damaged, or holds more than plain data ({reason})") from None
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT or NEEDED - set(checkpoint):
        raise ValueError(f"checkpoint {path} was not written by this project's train.py (no format {FORMAT})")
    return checkpoint


def restore(
    checkpoint: dict,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
) -> None:
    """Puts model, optimiser, schedule, scaler and every RNG back to where the checkpoint found them.

    Of the schedule only its step is kept: the factor at that step is the new run's own, so a run made longer goes on
    along the longer curve.
    """
    if checkpoint["config"] != config_to_plain(model.config):
        raise ValueError(f"the checkpoint is of another model: {checkpoint['config']}")
    model.load_state_dict(checkpoint["weights"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.last_epoch = checkpoint["schedule"]["step"]
    factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
    for group, base_lr in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
        group["lr"] = base_lr * factor
    scaler.load_state_dict(checkpoint["scaler"])
    restore_rng_states(checkpoint["rng"])


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[ViT, dict]:
    """The model a checkpoint holds, ready to predict, and the checkpoint itself (class names, preprocessing, …)."""
    checkpoint = load_checkpoint(path)
    model = ViT(ViTConfig(**checkpoint["config"]))
    model.load_state_dict(checkpoint["weights"])
    return model.to(device).eval(), checkpoint
