"""Whether a model can be trained in the memory there is: asked before it is built, which may end in a kill."""

import torch

from functions.runtime.errors import UserError

STATES = {"adamw": 2, "adam": 2, "sgd": 1}      # numbers an optimiser keeps for each parameter


def check_model_fits(parameters: int, optimizer: str, device: torch.device, free: int, sharded: bool) -> None:
    """UserError unless weights, gradients and the optimiser's state, 4 bytes a number, fit in memory.

    `free` are the bytes available to the CPU. Activations come on top and are not counted. Of a model that goes to a
    GPU or is `sharded` only the weights must fit: it is made on the CPU, and a GPU without room is an error of its own.
    """
    weights_only = sharded or device.type != "cpu"
    needed = 4 * parameters * (1 if weights_only else 2 + STATES[optimizer])
    if needed > free:
        what = "its weights" if weights_only else f"weights, gradients and {optimizer}'s state"
        raise UserError(f"a model of {parameters:,} parameters takes {needed / 1e9:,.1f} GB for {what}, and "
                        f"{free / 1e9:,.1f} GB of memory are free: choose a smaller --model, --embedding_dim, "
                        "--num_transformer_layer or --image_size")
