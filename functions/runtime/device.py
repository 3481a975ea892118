"""Random seeds, device and precision."""

import os
import random
from typing import Any

import numpy as np
import torch

from functions.runtime.distributed import world_size
from functions.runtime.errors import UserError


def set_seeds(seed: int) -> None:
    """Seeds the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global state must be seeded too
    torch.manual_seed(seed)


def pick_device(name: str = "auto", cores: int | None = None) -> torch.device:
    """The device `name`: "cpu", "cuda", "cuda:N", "mps", or "auto" (CUDA if available, else MPS, else CPU).

    On CUDA, fp32 matrix products use TF32. With torchrun each process uses its own GPU. `cores` limits the number of
    torch threads. Raises UserError if the device is not available, or if there are fewer GPUs than processes.
    """
    torch.set_num_threads(min(torch.get_num_threads(), cores or torch.get_num_threads()))
    kind, _, index = name.partition(":")
    available = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(kind):
        raise UserError(f"--device {name}: torch finds no such device; --device auto selects the best available one")
    if index and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise UserError(f"--device {name}: with torchrun each process uses its own GPU; use --device cuda")
    if kind == "cuda" or (kind == "auto" and available["cuda"]):
        torch.set_float32_matmul_precision("high")
        number = int(index or os.environ.get("LOCAL_RANK", "0"))
        if index and number >= torch.cuda.device_count():
            raise UserError(f"--device {name}: GPUs are numbered from 0, and there are {torch.cuda.device_count()}")
        if number >= torch.cuda.device_count():
            raise UserError(f"process {number} has no GPU: there are {torch.cuda.device_count()} "
                            "(torchrun --nproc_per_node sets the number of processes per machine)")
        device = torch.device("cuda", number)
        torch.cuda.set_device(device)
        return device
    return torch.device("mps" if available["mps"] and kind != "cpu" else "cpu")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Resolves "auto": bf16 on a GPU that supports it, fp16 on other GPUs, fp32 elsewhere.

    Raises UserError for an unsupported combination. bf16 on a CPU is accepted only with AMX; without it, bf16 is
    hundreds of times slower than fp32.
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
    """(precision for scoring a model that was trained in `trained`, note if it differs).

    train.py and evaluate.py use the same rule: a model is scored in its training precision, which the checkpoint
    records, or in fp32 if the device does not support it.
    """
    try:
        return resolve_precision(trained, device), ""
    except UserError:
        return "fp32", f"scored in fp32: this {device.type} device does not support {trained}, the training precision"


def make_deterministic() -> None:
    """Makes runs with the same seed bitwise identical on a GPU (--deterministic), at some cost in speed.

    Must be called before the first matrix product, when cuBLAS reads its workspace setting. cuDNN attention is
    disabled because its backward pass is not deterministic. torch raises RuntimeError for an operation without a
    deterministic kernel. Source: pytorch.org, "Reproducibility".
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.enable_cudnn_sdp(False)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The autocast context for a forward pass at `precision`; weights stay in fp32."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def describe_device(device: torch.device) -> str:
    """The GPU's name, or the CPU and its number of torch threads, followed by the number of processes if several."""
    processes = f", {world_size()} processes" if world_size() > 1 else ""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device) + processes
    return f"{device.type}, {torch.get_num_threads()} threads{processes}"


def rng_states() -> dict:
    """The states of all random number generators, as tensors and plain types."""
    state: Any = np.random.get_state()  # noqa: NPY002
    name, keys, position, has_gauss, cached = state
    version, internal, gauss_next = random.getstate()
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_rng_states(states: dict) -> None:
    """Restores the generator states returned by `rng_states`; UserError for a state that the device refuses."""
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
