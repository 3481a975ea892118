"""Features of frozen networks: statistics over the tokens of some blocks, computed once and kept on disk."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.transfer.fine_tuning import load_weights, read_images
from benchmarks.transfer.rows import Source
from data_setup.loading.batches import Batches
from functions.cross_validation.cohort import Cohort
from functions.cross_validation.features import features_on_disk
from functions.runtime.device import set_seeds
from functions.runtime.errors import UserError
from functions.runtime.progress import Progress
from models.pretrained.sources import load_transfer
from models.pretrained.weight_files import read_weights
from models.vit import ViT

BATCH = 64
STATISTICS = ("class", "mean", "sd")      # the class token; mean and standard deviation over the patch tokens


def read_features(file: Path, key: str, slices: int) -> np.ndarray:
    """The features (slices, D) under a key of a file that `features` wrote; UserError if it does not hold them."""
    tensors = read_weights(file).tensors
    if key not in tensors:
        raise UserError(f"--features: {file} has no {key}, but {', '.join(sorted(tensors))}")
    if len(tensors[key]) != slices:
        raise UserError(f"--features: {file} has features of {len(tensors[key])} slices, the data has {slices}: "
                        "compute them for this data by python -m benchmarks transfer")
    return tensors[key].double().numpy()


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


def features(source: Source, files: dict[str, Path], cohort: Cohort, device: torch.device,
             file: Path) -> dict[str, Tensor]:
    """`token_statistics` of all slices (n, D) in fp32, rows as in the cohort; read from `file` if it exists.

    With several views they are means over the slice and augmented views of it.
    """
    def compute() -> dict[str, Tensor]:
        set_seeds(0)
        pretrained = load_weights(source.training, files)
        vit = load_transfer(pretrained, 1).to(device).eval().backbone
        images, count = read_images(cohort, pretrained, device, source.training.whole), len(cohort.table)
        progress, total = Progress(file.stem, count * source.views), {}
        with torch.inference_mode():
            for view in range(source.views):
                transform, rows = images.training if view else images.scoring, []
                for batch, _ in Batches(images.dataset, BATCH, False, transform, device):
                    rows.append({name: value.cpu() for name, value in token_statistics(vit, batch,
                                                                                       source.blocks).items()})
                    progress.update(len(batch))
                for name in rows[0]:
                    total[name] = total.get(name, 0) + torch.cat([row[name] for row in rows]) / source.views
        progress.close()
        return total

    return features_on_disk(file, len(cohort.table), {"slices": cohort.digest}, compute)
