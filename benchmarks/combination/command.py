"""Do scores of three kinds add up? Normalised numbers, ImageNet features, a network that knows generated brains only.

    python -m benchmarks combination --data DIR --features FILE --networks FILE [FILE ...] [--repeats 10]

Each is a Gaussian process on the stage of dementia, on features averaged in four slabs of neighbouring slices. Sums are
of log-odds, without any fit. Rows and comparisons are those registered in docs/RESULTS.md.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from functions.config.parser import OneLineParser
from functions.config.settings import count
from functions.runtime.exits import one_line_errors

KEY = "9_sd"          # the features of --features: SD over the patch tokens after block 9
SUMS = (("numbers", "pretrained"), ("numbers", "phantom"), ("pretrained", "phantom"),
        ("numbers", "pretrained", "phantom"), ("four_numbers", "pretrained", "phantom"), ("numbers", "brightness"))


def main(arguments: Sequence[str]) -> None:
    """Computes the rows that are missing in OUT, then prints the table."""
    parser = OneLineParser(prog="python -m benchmarks combination", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/ with class folders")
    parser.add_argument("--features", type=Path, required=True, metavar="FILE",
                        help="ti_native.safetensors, written by python -m benchmarks transfer ti_native")
    parser.add_argument("--networks", type=Path, nargs="+", required=True, metavar="FILE",
                        help="fine-8000.safetensors and so on, written by python -m benchmarks pretraining")
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--repeats", type=count, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/combination"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    with one_line_errors():
        run(options)


def run(options: argparse.Namespace) -> None:
    """Every row in turn, then the table, OUT/table.md."""
    from benchmarks.combination.table import write_table
    from benchmarks.transfer.cohort import Results, check_inputs, read_cohort
    from benchmarks.transfer.command import each_fold, four_numbers
    from benchmarks.transfer.heads import in_slabs
    from models.pretrained.places.folders import read_files

    cohort = read_cohort(options.data, options.folds, options.repeats, 0)
    check_inputs(options.out, {"the slices": cohort.digest} | {
        flag: ",".join(read_files(file)[1] for file in files)
        for flag, files in (("--features", [options.features]), ("--networks", options.networks))})
    rows = {"four_numbers": four_numbers(cohort)} | {
        name: partial(on_slabs, in_slabs(x, cohort), cohort) for name, x in features(options, cohort).items()}
    for name, predict in rows.items():
        each_fold(cohort, Results(options.out, name, cohort), predict)
    print(write_table(options.out, list(rows), SUMS, cohort))


def features(options: argparse.Namespace, cohort) -> dict[str, np.ndarray]:
    """Row → features (n, D) of all slices."""
    from benchmarks.combination.white_matter import normalised_numbers, white_level
    from benchmarks.pretraining.network import load_network, outputs
    from benchmarks.pretraining.readout import VISIBLE, real_slices
    from benchmarks.transfer.features import read_features
    from data_setup.audit.baseline_features import four_numbers
    from data_setup.images.read import read_image

    paths = cohort.table["path"].tolist()
    gray, images = [read_image(path, 1)[:, :, 0] for path in paths], real_slices(paths)
    networks = [outputs(load_network(file), images)[:, VISIBLE] for file in options.networks]
    return {"four_numbers_process": np.array([four_numbers(image) for image in gray]),
            "numbers": np.array([normalised_numbers(image) for image in gray]),
            "pretrained": read_features(options.features, KEY, len(paths)),
            "phantom": np.mean(networks, axis=0),
            "brightness": np.array([[white_level(image)] for image in gray])}


def on_slabs(slabs: np.ndarray, cohort, tested: np.ndarray, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, class probabilities (patients, K)) of a fold's test patients by a process on features in slabs."""
    from benchmarks.combination.gaussian_process import stage_probabilities
    from functions.evaluation.stages import stage_order
    from functions.runtime.errors import UserError

    if (order := stage_order(cohort.class_names)) is None:
        raise UserError(f"the classes {', '.join(cohort.class_names)} are no stages in a known order")
    _, labels, ids = cohort.patients(tested[:, None].astype(float))
    new = np.isin(ids, cohort.subjects[tested])
    probabilities = np.empty((new.sum(), len(order)))
    probabilities[:, order] = stage_probabilities(slabs[~new], np.argsort(order)[labels[~new]], slabs[new], len(order))
    return ids[new], probabilities
