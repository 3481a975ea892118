"""Features of frozen networks: statistics over the tokens of some blocks, computed once and kept on disk."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.transfer.fine_tuning import Training, load_weights, read_images
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.features import features_on_disk
from functions.runtime.device import set_seeds
from functions.runtime.progress import Progress
from models.pretrained.sources import load_transfer
from models.vit import ViT

STATISTICS = ("class", "mean", "sd")      # the class token; mean and standard deviation over the patch tokens


def token_statistics(vit: ViT, images: Tensor, blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """"<block>_<statistic>" → (B, D) for images (B, C, H, W), blocks counted from 1.

    Tokens are those that leave the block; after the last block those that leave the final norm, z_L → LN(z_L), as in
    Eq. 4.
    """
    z = vit.patch_embedding(images)
    found = {}
    for number, block in enumerate(vit.encoder, start=1):
        z = block(z)
        if number in blocks:
            tokens = vit.norm(z) if number == len(vit.encoder) else z
            values = tokens[:, 0], tokens[:, 1:].mean(dim=1), tokens[:, 1:].std(dim=1)
            found |= {f"{number}_{name}": value for name, value in zip(STATISTICS, values, strict=True)}
    return found


def features(training: Training, files: dict[str, Path], cohort: Cohort, device: torch.device, blocks: tuple[int, ...],
             file: Path) -> dict[str, Tensor]:
    """`token_statistics` of all slices (n, D) in fp32, rows as in the cohort; read from `file` if it exists."""
    def compute() -> dict[str, Tensor]:
        set_seeds(0)
        pretrained = load_weights(training, files)
        vit = load_transfer(pretrained, 1).to(device).eval().backbone
        images = read_images(cohort, pretrained, device, training.whole)
        progress, rows = Progress(file.stem, len(cohort.table)), []
        with torch.inference_mode():
            for batch, _ in images.batches(np.arange(len(cohort.table)), 64):
                rows.append({name: value.cpu() for name, value in token_statistics(vit, batch, blocks).items()})
                progress.update(len(batch))
        progress.close()
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    return features_on_disk(file, len(cohort.table), {"slices": cohort.digest}, compute)
