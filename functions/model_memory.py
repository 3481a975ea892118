"""Whether a model can be trained in the memory there is: asked before it is built, which may end in a kill."""

import torch

from functions.errors import UserError

STATES = {"adamw": 2, "adam": 2, "sgd": 1}      # numbers an optimiser keeps for each parameter


def check_model_fits(parameters: int, optimizer: str, device: torch.device, free: int, sharded: bool) -> None:
    """UserError unless weights, gradients and the optimiser's state, 4 bytes a number, fit in memory.

    `free` are the bytes available to the CPU; a GPU is asked for its own. Activations come on top and are not counted.
    Of a `sharded` model only the weights must fit: it is whole before it is spread over the processes.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    numbers = 1 if sharded else 2 + STATES[optimizer]
    if 4 * numbers * parameters > free:
        raise UserError(f"a model of {parameters:,} parameters takes {4 * numbers * parameters / 1e9:,.1f} GB for "
                        f"weights, gradients and {optimizer}'s state, and {free / 1e9:,.1f} GB of memory are free: "
                        "choose a smaller --model, --embedding_dim, --num_transformer_layer or --image_size")
