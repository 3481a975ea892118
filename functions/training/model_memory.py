"""Checks that a model fits in memory before it is built, since the system may kill a process without memory."""

import torch

from functions.runtime.errors import UserError

STATES = {"adamw": 2, "adam": 2, "sgd": 1}      # numbers of optimiser state per parameter


def check_model_fits(parameters: int, optimizer: str, device: torch.device, free: int, sharded: bool,
                     averaged: bool = False) -> None:
    """Raises UserError unless weights, gradients, optimiser state and average, 4 bytes per number, fit in memory.

    `free` is the CPU memory in bytes. Activations are not counted. For a model on a GPU, or a `sharded` one, only the
    weights must fit: it is created on the CPU and then moved.
    """
    weights_only = sharded or device.type != "cpu"
    needed = 4 * parameters * (1 if weights_only else 2 + STATES[optimizer] + averaged)
    if needed > free:
        parts = "its weights" if weights_only else (
            f"weights, gradients{', average' if averaged else ''} and {optimizer}'s state")
        raise UserError(f"a model of {parameters:,} parameters takes {needed / 1e9:,.1f} GB for {parts}, and "
                        f"{free / 1e9:,.1f} GB of memory are free: choose a smaller --model, --embedding_dim, "
                        "--num_transformer_layer or --image_size")
