"""The optimiser, and which parameters weight decay may touch."""

from collections.abc import Mapping

import torch
from torch import nn

from functions.errors import UserError


def decayed(name: str, parameter: nn.Parameter) -> bool:
    """Weight decay is for matrices: not for biases and norms (one axis), positions or the class token.

    Source: google-research/big_vision decays `.*/kernel$` only.
    """
    return parameter.ndim > 1 and not name.endswith(("positions", "pos_embedding", "class_token"))


def make_optimizer(model: nn.Module, name: str, lr: float, weight_decay: float,
                   rates: Mapping[str, float] | None = None) -> torch.optim.Optimizer:
    """AdamW ("adamw": decay lr·wd on matrices only), Adam or SGD ("adam", "sgd": L2 in every parameter's gradient).

    Table 3's betas (0.9, 0.999), Table 4's momentum 0.9. "adam" is what the replicated repository uses. Frozen
    parameters are left out; `rates` has a factor on `lr` for each name. Raises ValueError for another
    optimiser, UserError for a decay that no weight survives.
    """
    if name not in ("adamw", "adam", "sgd"):
        raise ValueError(f'unknown optimizer "{name}"; known: adamw, adam, sgd')
    if name == "adamw" and lr * weight_decay >= 1:
        raise UserError(f"weight_decay {weight_decay:g} times lr {lr:g} is {lr * weight_decay:g}: AdamW multiplies the "
                        "weights by 1 minus that at every step, so it must be below 1")
    groups = {}
    for n, p in model.named_parameters():
        if p.requires_grad:
            decay = weight_decay if name != "adamw" or decayed(n, p) else 0.0
            groups.setdefault((lr * (rates[n] if rates else 1.0), decay), []).append(p)
    groups = [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
    tested = {"cpu", "cuda"}            # one pass over all parameters: on a CPU five times as fast as a loop over them
    fused = all(p.device.type in tested for group in groups for p in group["params"]) or None
    if name == "sgd":
        sharded = any(hasattr(p, "full_tensor") for p in model.parameters())       # torch has no fused SGD for those
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, fused=None if sharded else fused)
    make = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return make(groups, lr=lr, betas=(0.9, 0.999), fused=fused)
