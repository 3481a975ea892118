"""Seeds, device and precision: each in one place."""

import os
import random

import numpy as np
import torch

from functions.runtime.distributed import world_size
from functions.runtime.errors import UserError


def set_seeds(seed: int) -> None:
    """Seeds Python, NumPy and torch (every device) with the same number."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global state must be seeded too
    torch.manual_seed(seed)


def pick_device(name: str = "auto", cores: int | None = None) -> torch.device:
    """The device called `name`: "cpu", "cuda", "cuda:N", "mps"; "auto": CUDA where there is a GPU, else MPS, else CPU.

    On CUDA fp32 products use TF32. Of several processes (torchrun) each takes a GPU of its own. torch uses no more
    threads than the `cores` that this process may use. UserError for a device that is not there, and if there are fewer
    GPUs than processes.
    """
    torch.set_num_threads(min(torch.get_num_threads(), cores or torch.get_num_threads()))
    kind, _, index = name.partition(":")
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind):
        raise UserError(f"--device {name}: torch finds no such device here; --device auto takes the best there is")
    if index and int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1:
        raise UserError(f"--device {name}, but torchrun gives each process a GPU of its own: write --device cuda")
    if kind == "cuda" or (kind == "auto" and there["cuda"]):
        torch.set_float32_matmul_precision("high")
        number = int(index or os.environ.get("LOCAL_RANK", 0))
        if index and number >= torch.cuda.device_count():
            raise UserError(f"--device {name}: GPUs are numbered from 0, and there are {torch.cuda.device_count()}")
        if number >= torch.cuda.device_count():
            raise UserError(f"process {number} has no GPU: there are {torch.cuda.device_count()} "
                            "(torchrun --nproc_per_node is how many processes a machine starts)")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        return device
    return torch.device("mps" if there["mps"] and kind != "cpu" else "cpu")


def resolve_precision(precision: str, device: torch.device) -> str:
    """"auto" → bf16 on a GPU that has it, fp16 on other GPUs, fp32 elsewhere; ValueError for what cannot run here.

    bf16 on a CPU without AMX is hundreds of times slower than fp32: refused. With AMX it is faster: done if asked for.
    """
    if precision == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision not in ("fp32", "bf16", "fp16"):
        raise UserError(f'unknown precision "{precision}"; known: auto, fp32, bf16, fp16')
    if precision == "bf16" and device.type == "cpu" and _has_amx():
        return precision
    if precision != "fp32" and device.type != "cuda":
        raise UserError(f"precision {precision} needs a CUDA GPU (bf16: or a CPU with AMX), this is a {device.type} "
                        "run: use --precision fp32")
    return precision


def _has_amx() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16")) if hasattr(torch.cpu, "get_capabilities") else False


def scoring_precision(trained: str, device: torch.device) -> tuple[str, str]:
    """(the precision to score a model in that was trained in `trained`, a note where the device has to use another).

    One rule for train.py and evaluate.py: a model is scored in the precision in which it was trained, which its
    checkpoint holds; in fp32 on a device that cannot compute in it.
    """
    try:
        return resolve_precision(trained, device), ""
    except UserError:
        return "fp32", f"scored in fp32: this {device.type} device lacks {trained}, in which the model was trained"


def make_deterministic() -> None:
    """Makes two runs of one seed equal bit for bit on a GPU too (--deterministic), at some cost in speed.

    Before the first matrix product: cuBLAS then reads its workspace setting. cuDNN's attention has no deterministic
    backward pass, so torch chooses another. An operation without a deterministic kernel is a RuntimeError of torch's.
    Source: pytorch.org, "Reproducibility".
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.enable_cudnn_sdp(False)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a forward pass runs at `precision`; weights stay fp32."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def describe_device(device: torch.device) -> str:
    """A device in words: the GPU's name, or the CPU and how many threads torch uses on it; how many processes."""
    together = f", {world_size()} processes" if world_size() > 1 else ""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device) + together
    return f"{device.type}, {torch.get_num_threads()} threads{together}"


def rng_states() -> dict:
    """The state of every random number generator, as tensors and plain types."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    version, internal, gauss_next = random.getstate()
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_rng_states(states: dict) -> None:
    """Puts every generator back to where `rng_states` found it; UserError for a state that the device refuses."""
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    try:
        for number, state in enumerate(states["cuda"][:torch.cuda.device_count()]):    # another machine may have fewer
            torch.cuda.set_rng_state(state, number)
        if states.get("mps") is not None and torch.backends.mps.is_available():
            torch.mps.set_rng_state(states["mps"])
    except RuntimeError as error:
        raise UserError(f"rng: no state of this device's generator ({' '.join(str(error).split())[:100]})") from None
