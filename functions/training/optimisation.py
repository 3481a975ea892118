"""Loss, optimiser with weight decay on matrices only, learning-rate schedule and gradient scaler of a run."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from functions.runtime.errors import UserError
from functions.runtime.sharding import checkpoint_activations, shard
from functions.training.averaging import WeightAverage
from functions.training.schedules import make_schedule
from functions.training.start import Start


class Optimisation(NamedTuple):
    """Everything a training step needs besides the model and its images."""

    loss_fn: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    average: WeightAverage | None

    @property
    def last_lr(self) -> float:
        """The learning rate of the last step; the largest over all parameter groups."""
        return float(max(self.scheduler.base_lrs)) * self.scheduler.lr_lambdas[0](self.scheduler.last_epoch - 1)


def fit_in_memory(model: nn.Module, blocks: Sequence[nn.Module], begun: Start) -> None:
    """Applies --checkpoint_activations and --shard to a model with the Transformer blocks `blocks`."""
    if begun.settings.checkpoint_activations:
        checkpoint_activations(blocks)
    if begun.settings.shard:
        shard(model, blocks, begun.precision)


def steps_in_an_epoch(train_batches: Sized, begun: Start) -> int:
    """The number of optimiser steps per epoch. Sets `settings.epochs` if --steps is given instead of --epochs."""
    settings = begun.settings
    steps = -(-len(train_batches) // settings.accumulation)
    if getattr(settings, "steps", None):
        settings.epochs = -(-settings.steps // steps)
    return steps


class CrossEntropy(nn.CrossEntropyLoss):
    """nn.CrossEntropyLoss per image; of soft targets (B, K), rows of zeros, which are padding, have loss 0."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = super().forward(logits, targets)
        return losses if targets.ndim == 1 else losses * targets.any(dim=1)      # label smoothing fills the zeros


def make_optimisation(model: nn.Module, begun: Start, class_weights: Tensor, steps_per_epoch: int,
                      rates: Mapping[str, float] | None = None) -> Optimisation:
    """Cross-entropy, and the optimiser, schedule, gradient scaler and average of weights given by the settings.

    `class_weights` (K,) scale the loss; `rates` maps parameter names to learning-rate factors.
    """
    settings, device = begun.settings, begun.device
    loss_fn = CrossEntropy(class_weights.to(device), reduction="none", label_smoothing=settings.label_smoothing)
    optimizer = make_optimizer(model, settings.optimizer, settings.lr, settings.weight_decay, rates=rates)
    schedule = make_schedule(settings.schedule, settings.epochs, steps_per_epoch, settings.warmup_share,
                             steps=getattr(settings, "steps", None))
    return Optimisation(loss_fn, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule),
                        torch.amp.GradScaler(device.type, enabled=begun.precision == "fp16"),
                        WeightAverage(model, settings.ema) if settings.ema else None)


def decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices only, not to biases, norms, positions or the class token.

    Source: google-research/big_vision decays `.*/kernel$` only.
    """
    return parameter.ndim > 1 and not name.endswith(("positions", "pos_embedding", "class_token"))


def make_optimizer(model: nn.Module, name: str, lr: float, weight_decay: float,
                   rates: Mapping[str, float] | None = None) -> torch.optim.Optimizer:
    """AdamW ("adamw": decay lr·wd on matrices only), Adam or SGD ("adam", "sgd": L2 in every parameter's gradient).

    Betas (0.9, 0.999) from Table 3, momentum 0.9 from Table 4. The replicated repository uses "adam". Frozen parameters
    are omitted; `rates` maps names to factors on `lr`. Raises ValueError for an unknown optimiser, and UserError if
    lr·wd is 1 or more.
    """
    if name not in ("adamw", "adam", "sgd"):
        raise ValueError(f'unknown optimizer "{name}"; known: adamw, adam, sgd')
    if name == "adamw" and lr * weight_decay >= 1:
        raise UserError(f"weight_decay {weight_decay:g} times lr {lr:g} is {lr * weight_decay:g}: AdamW multiplies the "
                        "weights by 1 minus that at every step, so it must be below 1")
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for n, p in model.named_parameters():
        if p.requires_grad:
            decay = weight_decay if name != "adamw" or decayed(n, p) else 0.0
            members.setdefault((lr * (rates[n] if rates else 1.0), decay), []).append(p)
    groups: list[dict[str, Any]] = [{"params": params, "lr": rate, "weight_decay": decay}
                                    for (rate, decay), params in members.items()]
    fusable = {"cpu", "cuda"}           # on a CPU the fused step is five times as fast as the loop over parameters
    fused = all(p.device.type in fusable for group in groups for p in group["params"]) or None
    if name == "sgd":
        sharded = any(hasattr(p, "full_tensor") for p in model.parameters())       # torch has no fused SGD for DTensors
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, fused=None if sharded else fused)
    make = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return make(groups, lr=lr, betas=(0.9, 0.999), fused=fused)
