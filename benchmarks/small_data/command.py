"""The small ViT from scratch with one change at a time: shifted patches, masked autoencoding, a convolutional stem, a
mean of three networks.

    python -m benchmarks small_data [ROW ...] --data DIR [--out FOLDER]

Every fold's predictions are on disk: the same command computes only what is missing.
"""

import argparse
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from functions.config.parser import OneLineParser
from functions.config.settings import count
from functions.runtime.exits import one_line_errors

ROWS = ("scratch", "shifted", "masked", "stem", "seeds")
SEEDS = 3                # networks of the row "seeds"
# sizes, learning rate and weight decay of recipes/mri_cpu.yaml; fixed before the first result
IMAGE_SIZE, BATCH, EPOCHS, LR, WEIGHT_DECAY = (96, 80), 64, 20, 1e-3, 0.1
MASKED_EPOCHS, MASKED_WEIGHT_DECAY = 60, 0.05
STEM_WIDTH = 32          # channels of the stem, a 7x7 convolution and a pooling


def main(arguments: Sequence[str]) -> None:
    """Computes what is missing of the chosen rows, then prints the table, OUT/table.md."""
    parser = OneLineParser(prog="python -m benchmarks small_data", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: {', '.join(ROWS)}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/ with class folders")
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--repeats", type=count, default=1)
    parser.add_argument("--epochs", type=count, help="of both trainings, instead of 60 and 20: for trying the command")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/small_data"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    for name in options.rows:
        if name not in ROWS:
            parser.error(f'no row "{name}": it is one of {", ".join(ROWS)}')
    with one_line_errors():
        run(options)


def run(options: argparse.Namespace) -> None:
    """Four numbers and every row in turn, then the table."""
    from benchmarks.small_data.table import write_table
    from benchmarks.transfer.cohort import Results, check_inputs, read_cohort
    from benchmarks.transfer.command import each_fold, four_numbers, slices_hash
    from data_setup.images.resize import Frame
    from data_setup.loading.cohort import CohortImages
    from functions.runtime.device import pick_device

    cohort = read_cohort(options.data, options.folds, options.repeats, 0)
    check_inputs(options.out, {"the slices": slices_hash(cohort), "--epochs": str(options.epochs)})
    images = CohortImages(cohort.table, cohort.class_names, Frame(IMAGE_SIZE), 1, [0.5], [0.5], pick_device())
    each_fold(cohort, Results(options.out, "four_numbers", cohort), four_numbers(cohort))
    for name in options.rows or ROWS:
        each_fold(cohort, Results(options.out, name, cohort), partial(one_fold, name, options, cohort, images))
    print(write_table(options.out, [name for name in ROWS if (options.out / f"{name}.csv").exists()], cohort))


def one_fold(name: str, options: argparse.Namespace, cohort, images, tested: np.ndarray, repeat: int,
             fold: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, class probabilities (patients, K)) of the fold's test patients by the row's network, or the mean of SEEDS.
    """
    from functions.cross_validation.fold_training import patient_probabilities

    known, new, found = np.flatnonzero(~tested), np.flatnonzero(tested), []
    for number in range(SEEDS if name == "seeds" else 1):
        model = trained(name, options, cohort, images, known, 1000 * repeat + fold + 100 * number)
        ids, probabilities = patient_probabilities(model, images.batches(new, 256), cohort.labels[new],
                                                   cohort.subjects[new], images.device)
        found.append(probabilities)
    return ids, np.mean(found, axis=0)


def trained(name: str, options: argparse.Namespace, cohort, images, known: np.ndarray, seed: int):
    """The network of a row, trained on the slices `known`."""
    import torch

    from data_setup.loading.dataloaders import class_weights
    from functions.cross_validation.fold_training import train_network
    from functions.runtime.device import set_seeds

    set_seeds(seed)
    model = network(name, len(cohort.class_names)).to(images.device)
    batches = images.batches(known, BATCH, train=True)
    if name == "masked":
        pretrain_masked(model, batches, options.epochs or MASKED_EPOCHS, seed)
    weights = class_weights(torch.from_numpy(cohort.labels[known]), len(cohort.class_names), 0.5)
    train_network(model, batches, (options.epochs or EPOCHS) * len(batches), weights, images.device, lr=LR,
                  weight_decay=WEIGHT_DECAY)
    return model


def network(name: str, num_classes: int):
    """The untrained network of a row: the hand-written ViT of recipes/mri_cpu.yaml, or with one change."""
    from benchmarks.small_data.shifted_patches import with_shifted_patches
    from models.config import HybridConfig
    from models.hybrid import HybridViT
    from models.small import small_network

    vit = small_network("vit", IMAGE_SIZE, num_classes)
    if name == "stem":
        sizes = vars(vit.config) | {"units": (), "stem_patch": vit.config.patch_size // 4, "stem_width": STEM_WIDTH}
        return HybridViT(HybridConfig(**sizes))
    return with_shifted_patches(vit) if name == "shifted" else vit


def pretrain_masked(model, batches, epochs: int, seed: int) -> None:
    """Masked autoencoding on the images of `batches`, without labels; prints the time and the first and last loss."""
    import torch

    from benchmarks.pretraining.network import minimise
    from benchmarks.small_data.masked_autoencoding import MaskedAutoencoder
    from functions.cross_validation.fold_training import Repeated

    began, cpu = time.perf_counter(), time.process_time()
    generator = torch.Generator().manual_seed(seed)
    autoencoder = MaskedAutoencoder(model, generator).to(next(model.parameters()).device)
    steps = epochs * len(batches)
    losses = minimise(autoencoder, (autoencoder(x) for x, _ in Repeated(batches, steps)), steps, LR,
                      MASKED_WEIGHT_DECAY, "masked autoencoding")
    print(f"masked autoencoding: {steps} steps, loss {losses[0]:.3f} → {np.mean(losses[-len(batches):]):.3f}, "
          f"{time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} CPU s", flush=True)
