"""The optimiser, and which parameters weight decay may touch."""

import torch
from torch import nn


def decayed(name: str, parameter: nn.Parameter) -> bool:
    """Weight decay is for matrices: not for biases and norms (one axis), positions or the class token.

    Source: google-research/big_vision decays `.*/kernel$` only.
    """
    return parameter.ndim > 1 and not name.endswith(("positions", "class_token"))


def make_optimizer(model: nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW ("adamw": decay lr·wd on matrices only) or Adam ("adam": L2 in the gradient of every parameter).

    Table 3's betas (0.9, 0.999). "adam" is what the replicated repository uses. Frozen parameters are left out.
    Raises ValueError for another name.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    fused = all(p.is_cuda for _, p in named) or None     # None: torch's own choice
    if name == "adam":
        return torch.optim.Adam([p for _, p in named], lr=lr, weight_decay=weight_decay, fused=fused)
    if name != "adamw":
        raise ValueError(f'unknown optimizer "{name}"; known: adamw, adam')
    groups = [
        {"params": [p for n, p in named if decayed(n, p)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not decayed(n, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), fused=fused)
