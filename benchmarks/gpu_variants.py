"""Variants of the same training step on a GPU: images/s, MFU, memory, error.

    python -m benchmarks.gpu_variants [NAME ...] --out FILE [--quick]

A NAME is eager or compile, then changes joined by +: residual (the residual stream in the autocast type), all_tokens
(the last block computes every token, not the class token alone), patches (reshape and a linear layer instead of a
convolution), flash (cuDNN attention off), augment (the training transform in every step), fused_augment (the same,
compiled). No change alters the function that the network computes, rounding aside.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.flops import training_flops
from benchmarks.gpu_timing import Sizes, TableFile, choose_sizes, median_seconds
from data_setup.loading.transforms import make_transforms
from functions.runtime.device import autocast, pick_device
from functions.training.optimisation import make_optimizer
from functions.training.throughput import measured_peak
from models import ViT, ViTConfig
from models.patch_embedding import PatchEmbedding

CHANGES = ("residual", "all_tokens", "patches", "flash", "augment", "fused_augment")
DEFAULT = ("eager", "eager+patches", "compile", "compile+residual", "compile+all_tokens", "compile+residual+all_tokens",
           "compile+patches", "compile+flash", "compile+augment", "compile+fused_augment",
           "compile")    # again, to show drift
HEAD = ("variant", "images/s", "MFU", "peak GiB", "compiling and first step, s", "first loss",
        "largest error of a logit")


def linear_patches(embedding: PatchEmbedding, images: Tensor) -> Tensor:
    """Eq. 1 with each patch flattened and multiplied by E: images (B, C, H, W) → tokens (B, N + 1, D)."""
    batch, channels, height, width = images.shape
    p = embedding.config.patch_size
    patches = images.reshape(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 1, 3, 5)
    patches = patches.flatten(3).flatten(1, 2)                                        # (B, N, CP²)
    patches = F.linear(patches, embedding.project.weight.flatten(1), embedding.project.bias)       # (B, N, D)
    class_token = embedding.class_token.expand(batch, -1, -1).to(patches.dtype)
    return embedding.dropout(torch.cat([class_token, patches], dim=1) + embedding.positions)


class VariantViT(ViT):
    """The ViT with some of CHANGES in its forward pass: parameters, names and logits are ViT's."""

    def __init__(self, config: ViTConfig, changes: tuple[str, ...]):
        super().__init__(config)
        self.changes = changes

    def forward(self, images: Tensor) -> Tensor:
        z = linear_patches(self.patch_embedding, images) if "patches" in self.changes else self.patch_embedding(images)
        if "residual" in self.changes and torch.is_autocast_enabled(images.device.type):
            z = z.to(torch.get_autocast_dtype(images.device.type))
        z = self.encoder(z, tokens=None if "all_tokens" in self.changes else 1)
        return self.classifier(self.norm(z[:, 0]))


class Step:
    """Training steps of one variant on one batch: transform if asked for, forward, loss, backward, clip, AdamW."""

    def __init__(self, name: str, sizes: Sizes, device: torch.device):
        how, *changes = name.split("+")
        torch.manual_seed(0)                                      # every variant has the same weights and images
        self.config, self.sizes, self.device = sizes.config(), sizes, device
        self.model = VariantViT(self.config, tuple(changes)).to(device)
        nn.init.normal_(self.model.classifier.weight, std=0.02)   # it begins at 0: all logits would be equal
        shape = (sizes.batch, 3, sizes.pixels, sizes.pixels)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        augmented, plain = (t.to(device) for t in make_transforms([0.5] * 3, [0.25] * 3, augment=True))
        self.images = plain(pixels)
        self.labels = torch.randint(4, (sizes.batch,), device=device)
        self.pixels, self.transform = pixels, augmented if {"augment", "fused_augment"} & set(changes) else None
        if "fused_augment" in changes:
            self.transform = torch.compile(augmented, backend=sizes.backend, dynamic=False)
        self.optimizer = make_optimizer(self.model, "adamw", 1e-4, 0.1)
        self.reference = self._reference()
        if how == "compile":
            self.model.compile(backend=sizes.backend, dynamic=False)

    @torch.no_grad()
    def _reference(self) -> Tensor:
        """Logits of some images by the unchanged network in fp32, without TF32."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        logits = ViT.forward(self.model, self.images[:8])
        torch.set_float32_matmul_precision(before)
        return logits

    def error(self) -> float:
        """Largest difference of this variant's logits from the reference, at the precision it trains in.

        With gradients, although none is taken: torch.compile would make a second graph without them.
        """
        with autocast(self.sizes.precision, self.device):
            logits = self.model(self.images)
        return (logits[:8].detach().float() - self.reference).abs().max().item()

    def __call__(self) -> Tensor:
        images = self.transform(self.pixels) if self.transform is not None else self.images
        with autocast(self.sizes.precision, self.device):
            logits = self.model(images)
        loss = F.cross_entropy(logits.float(), self.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def measure(name: str, sizes: Sizes, device: torch.device, peak: float) -> tuple[object, ...]:
    """One row of HEAD."""
    torch.compiler.reset()
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(cudnn and "flash" not in name.split("+"))
    try:
        step = Step(name, sizes, device)
        started = time.perf_counter()
        error = step.error()
        loss = step().item()
        first = time.perf_counter() - started
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        speed = sizes.batch / median_seconds(step, device, *((2, 1) if sizes.quick else (30, 5)))
    finally:
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if device.type == "cuda" else "-"
    return (name, f"{speed:.0f}", f"{speed * training_flops(step.config) / peak:.1%}", memory, f"{first:.1f}",
            f"{loss:.5f}", f"{error:.1e}")


def check_name(name: str) -> str:
    """A variant's name as it is; ArgumentTypeError for an unknown one."""
    how, *changes = name.split("+")
    if how not in ("eager", "compile") or set(changes) - set(CHANGES):
        raise argparse.ArgumentTypeError(f'"{name}" is not eager or compile with some of +{", +".join(CHANGES)}')
    return name


def main(arguments: list[str] | None = None) -> None:
    """One row a variant, written as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_variants", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", type=check_name, metavar="NAME", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, also on a CPU")
    options = parser.parse_args(arguments)
    device = pick_device()
    sizes = choose_sizes(options.quick, device)
    peak = measured_peak(device, sizes.precision)
    out, failed = TableFile(options.out, *HEAD), []
    for name in options.names or DEFAULT:
        try:
            out.add(*measure(name, sizes, device, peak))
        except Exception as error:  # noqa: BLE001 - a variant that fails on a new card is a finding
            out.add_failure(name, error)
            failed.append(name)
        torch.cuda.empty_cache()
    out.note(f"{sizes.model} at {sizes.pixels}, batch {sizes.batch}, {sizes.precision}; MFU: share of a matrix "
             f"product's {peak / 1e12:.4g} TFLOP/s; error of a logit: against the eager network in fp32.")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
