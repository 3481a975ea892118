"""Checks on a GPU: matrix-product rates, attention backends, cost of each step's parts, numerics, determinism, copies.

    CUBLAS_WORKSPACE_CONFIG=:4096:8 python -m benchmarks.gpu_checks --out FILE [--quick]

The variable lets cuBLAS be deterministic: it is read at the first matrix product.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_timing import Sizes, TableFile, choose_sizes, median_seconds
from benchmarks.timing import synchronise
from data_setup.loading.transforms import affine, make_transforms
from functions.checkpointing.writer import snapshot
from functions.epoch_metrics import EpochSums
from functions.runtime.device import autocast, make_deterministic, pick_device, set_seeds
from functions.training.optimisation import make_optimizer
from functions.training.throughput import measured_peak
from models import ViT
from models.transfer import CHUNK, TransferConfig, TransferModel

Findings = Iterator[tuple[str, str]]                      # (what, result)
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def peaks(sizes: Sizes, device: torch.device) -> Findings:
    """The rate that MFU is a share of, from cold and again: a second value above the first shows a short warm-up."""
    own = sizes.precision
    for precision, when in ((own, ", first call"), (own, ", again"), ("fp32", " (TF32 on a GPU)")):
        yield f"{precision} matrix product{when}", f"{measured_peak(device, precision) / 1e12:.4g} TFLOP/s"


def attention(sizes: Sizes, device: torch.device) -> Findings:
    """Which backend scaled_dot_product_attention selects for this model's shapes, and what each backend costs."""
    config = sizes.config()
    tokens, heads, width = config.num_patches + 1, config.num_heads, config.embedding_dim
    dtype = TYPES[sizes.precision]
    qkv = torch.randn(sizes.batch, tokens, 3 * width, device=device, dtype=dtype, requires_grad=True)
    gradient = torch.randn(sizes.batch, heads, tokens, width // heads, device=device, dtype=dtype)

    def split() -> tuple[Tensor, ...]:
        return tuple(x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in qkv.chunk(3, dim=-1))

    def forward_backward() -> None:
        F.scaled_dot_product_attention(*split()).backward(gradient)
        qkv.grad = None

    yield "attention backend selected", SDPBackend(torch._fused_sdp_choice(*split())).name
    backends = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    for backend in backends if device.type == "cuda" else [SDPBackend.MATH]:
        with sdpa_kernel(backend):
            seconds = median_seconds(forward_backward, device)
        yield f"{backend.name}, forward and backward, one layer", f"{1e3 * seconds:.3f} ms"


def augmentation(sizes: Sizes, device: torch.device) -> Findings:
    """The training transform of a batch, eager and compiled."""
    pixels = torch.randint(0, 256, (sizes.batch, 3, sizes.pixels, sizes.pixels), dtype=torch.uint8, device=device)
    transform = make_transforms([0.5] * 3, [0.5] * 3, augment=True)[0].to(device)
    yield f"augmentation of {sizes.batch} images", f"{1e3 * median_seconds(lambda: transform(pixels), device):.2f} ms"
    compiled = torch.compile(transform, backend=sizes.backend, dynamic=False)
    yield "the same, compiled", f"{1e3 * median_seconds(lambda: compiled(pixels), device):.2f} ms"


def epoch_sums(sizes: Sizes, device: torch.device) -> Findings:
    """The cost per batch of the epoch's metric sums."""
    sums, loss = EpochSums(device, "training"), torch.ones((), device=device)
    logits, labels = torch.randn(sizes.batch, 4, device=device), torch.randint(4, (sizes.batch,), device=device)
    seconds = median_seconds(lambda: sums.add(logits, labels, loss, 0), device)
    yield "EpochSums.add of a batch", f"{1e3 * seconds:.3f} ms"


def affine_precision(sizes: Sizes, device: torch.device) -> Findings:
    """How far F.affine_grid, a matrix product, moves pixels with TF32 beside our elementwise grid: a rotation by 7°."""
    before = torch.get_float32_matmul_precision()
    ramp = torch.linspace(0, 1, sizes.pixels, device=device).expand(1, 1, sizes.pixels, sizes.pixels).contiguous()
    zero, one = torch.zeros(1, device=device), torch.ones(1, device=device)
    angle = torch.tensor(math.radians(7.0), device=device)
    rows = torch.stack([torch.stack([angle.cos(), angle.sin(), zero[0]]),
                        torch.stack([-angle.sin(), angle.cos(), zero[0]])])[None]
    torch.set_float32_matmul_precision("high")
    grid = F.affine_grid(rows, list(ramp.shape), align_corners=False)
    theirs, ours = F.grid_sample(ramp, grid, align_corners=False), affine(ramp, 7 * one, zero, zero, one, one)
    torch.set_float32_matmul_precision(before)
    inner = slice(sizes.pixels // 4, -(sizes.pixels // 4))              # away from the zeros that rotate in
    moved = (ours - theirs)[..., inner, inner].abs().max().item() * (sizes.pixels - 1)
    yield "F.affine_grid with TF32 against ours, largest shift", f"{moved:.4f} pixels"


def snapshots(sizes: Sizes, device: torch.device) -> Findings:
    """Whether a checkpoint snapshot equals the weights at that time, although the next step overwrites them."""
    weights = torch.zeros(sizes.batch, 1024, 64, device=device)
    work = torch.randn(2048 if device.type == "cuda" else 32, 2048 if device.type == "cuda" else 32, device=device)
    wrong = 0
    for number in range(1, 6):
        for _ in range(20):
            work = torch.tanh(work @ work)                              # queued, and not yet done
        weights.fill_(number)
        copy = snapshot({"weights": weights})["weights"]
        weights.fill_(-1)
        wrong += int((copy != number).sum())
    yield "values of a snapshot that are not those of its moment", f"{wrong}"


def cross_entropy(sizes: Sizes, device: torch.device) -> Findings:
    """Cross entropy of low-precision logits inside autocast, against the same logits in fp32."""
    logits = torch.randn(sizes.batch, 4, device=device, dtype=TYPES[sizes.precision])
    labels = torch.randint(4, (sizes.batch,), device=device)
    with autocast(sizes.precision, device):
        inside = F.cross_entropy(logits, labels, reduction="none")
    error = (inside.float() - F.cross_entropy(logits.float(), labels, reduction="none")).abs().mean().item()
    yield "cross entropy under autocast against fp32, mean absolute difference of an image", f"{error:.1e}"


@torch.inference_mode()
def chunk_position(sizes: Sizes, device: torch.device) -> Findings:
    """Whether a frozen backbone's features of an image are the same at every position of a chunk, bit for bit."""
    model = TransferModel(TransferConfig("resnet18" if sizes.quick else "vit_b_16", image_size=(sizes.pixels,) * 2))
    model = model.to(device).eval()
    image = torch.randn(3, sizes.pixels, sizes.pixels, device=device)
    others, rows = torch.randn(CHUNK, 3, sizes.pixels, sizes.pixels, device=device), []
    with autocast(sizes.precision, device):
        for position in range(2 if sizes.quick else CHUNK):
            batch = others.clone()
            batch[position] = image
            rows.append(model.features(batch)[position])
    yield (f"features equal at {len(rows)} positions of a chunk, bit for bit",
           yes_no(all(torch.equal(row, rows[0]) for row in rows)))


def trained_weights(sizes: Sizes, device: torch.device) -> Tensor:
    """All weights after some steps from one seed, dropout included."""
    set_seeds(0)
    model = ViT(sizes.config(num_layers=4, dropout=0.1)).to(device)
    optimizer = make_optimizer(model, "adamw", 1e-3, 0.1)
    for _ in range(2 if sizes.quick else 20):
        images = torch.randn(sizes.batch, 3, sizes.pixels, sizes.pixels, device=device)
        labels = torch.randint(4, (sizes.batch,), device=device)
        with autocast(sizes.precision, device):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def determinism(sizes: Sizes, device: torch.device) -> Findings:
    """Whether two runs of one seed give the same weights bit for bit, by default and with --deterministic."""
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    for deterministic in (False, True):
        try:
            if deterministic:
                make_deterministic()
            started = time.perf_counter()
            equal = torch.equal(trained_weights(sizes, device), trained_weights(sizes, device))
            seconds = time.perf_counter() - started
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cuda.enable_cudnn_sdp(cudnn)
        how = ", as with --deterministic" if deterministic else ""
        yield f"two runs of one seed equal, bit for bit{how}", f"{yes_no(equal)} ({seconds:.1f} s)"


def copies(sizes: Sizes, device: torch.device) -> Findings:
    """How long the host waits in a non-blocking copy of a batch to the device, behind queued work."""
    if device.type != "cuda":
        return
    pageable = torch.empty(sizes.batch * 3 * sizes.pixels**2, dtype=torch.uint8)
    a = torch.randn(8192, 8192, device=device)
    for kind, source in (("pageable", pageable), ("pinned", pageable.pin_memory())):
        synchronise(device)
        for _ in range(20):
            a @ a
        started = time.perf_counter()
        source.to(device, non_blocking=True)
        waited = time.perf_counter() - started
        yield f"copy of {sizes.batch} images from {kind} memory behind queued work: the host waits", \
              f"{1e3 * waited:.2f} ms"
        synchronise(device)


CHECKS: tuple[Callable[[Sizes, torch.device], Findings], ...] = (
    peaks, attention, augmentation, epoch_sums, affine_precision, snapshots, cross_entropy, chunk_position, determinism,
    copies)


def yes_no(answer: bool) -> str:
    return "yes" if answer else "NO"


def run_checks(sizes: Sizes, device: torch.device, out: TableFile) -> list[str]:
    """Adds every check's findings to the table; returns the names of those that failed.

    A failed check is a row with its error, its traceback is printed, and the next check goes on.
    """
    failed = []
    for check in CHECKS:
        try:
            for what, result in check(sizes, device):
                out.add(check.__name__, what, result)
        except Exception as error:  # noqa: BLE001 - whatever fails on a new card is a finding
            out.add_failure(check.__name__, error)
            failed.append(check.__name__)
    return failed


def main(arguments: list[str] | None = None) -> None:
    """All checks, one after the other; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_checks", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, also on a CPU")
    options = parser.parse_args(arguments)
    device = pick_device()
    out = TableFile(options.out, "check", "what", "result")
    if failed := run_checks(choose_sizes(options.quick, device), device, out):
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
