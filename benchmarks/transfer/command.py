"""Frozen features, heads on them and fine-tuned networks on the same folds of patients, beside four numbers.

    python -m benchmarks transfer [ROW ...] --data DIR --weights NAME=FILE … [--repeats 10] [--folds 5] [--out FOLDER]

Every finished fold is on disk: the same command continues after an interruption, and computes only what is missing.
"""

import argparse
import hashlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.transfer.cohort import Cohort, Results, check_inputs, read_cohort
from benchmarks.transfer.rows import SOURCES, TRAININGS
from functions.config.parser import OneLineParser
from functions.config.settings import count
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors


def main(arguments: Sequence[str]) -> None:
    """Computes what is missing of the chosen rows, then writes the table of all that is finished."""
    parser = OneLineParser(prog="python -m benchmarks transfer", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", type=check_row,
                        help="default: four_numbers and heads on features of one view; of "
                             f"{', '.join([*SOURCES, *TRAININGS])}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/ with class folders")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE", help="files of pretrained weights")
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--repeats", type=count, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=count, help="instead of the rows' own: for trying the command")
    parser.add_argument("--attention", action="store_true", help="attention pooling as well, which is slow")
    parser.add_argument("--features_only", action="store_true", help="compute the features and stop")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/transfer"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    with one_line_errors():
        run(options)


def check_row(name: str) -> str:
    """A row's name as it is; ArgumentTypeError for an unknown one."""
    if name not in ("four_numbers", *SOURCES, *TRAININGS):
        raise argparse.ArgumentTypeError(f'no row "{name}": it is one of four_numbers, '
                                         f"{', '.join([*SOURCES, *TRAININGS])}")
    return name


def run(options: argparse.Namespace) -> None:
    """Every row in turn."""
    from benchmarks.transfer.table import write_table
    from functions.runtime.device import pick_device
    from models.pretrained.places.folders import weights_hash

    rows = options.rows or ["four_numbers", *(name for name, source in SOURCES.items() if source.views == 1)]
    files = weight_files(options.weights, rows)
    cohort = read_cohort(options.data, options.folds, options.repeats, options.seed)
    check_inputs(options.out, {"the slices": slices_hash(cohort), "--epochs": str(options.epochs)} | {
        f"--weights {name}": weights_hash(file) for name, file in files.items()})
    device = pick_device()
    for name in rows:
        if name == "four_numbers":
            each_fold(cohort, Results(options.out, name, cohort), four_numbers(cohort))
        elif name in SOURCES:
            heads_on(name, cohort, files, device, options)
        else:
            fine_tuned(name, cohort, files, device, options)
    print(write_table(options.out, cohort))


def weight_files(given: Sequence[str], rows: Sequence[str]) -> dict[str, Path]:
    """The files of --weights NAME=FILE by name; UserError if one is not written so, or a row's is not given."""
    files = {name: Path(file) for name, _, file in (one.partition("=") for one in given)}
    trainings = {row: SOURCES[row].training if row in SOURCES else TRAININGS[row]
                 for row in rows if row != "four_numbers"}
    known = {training.weights for training in trainings.values()} - {"random"}
    for name, file in files.items():
        if not name or file == Path():
            raise UserError(f"--weights {name}: expected NAME=FILE, such as ti=vit_tiny.safetensors")
    for row, training in trainings.items():
        if training.weights in known - files.keys():
            raise UserError(f"the row {row} needs --weights {training.weights}=FILE, with weights of {training.model}")
    return files


def slices_hash(cohort: Cohort) -> str:
    """SHA-256 of the slices' names, contents, classes and patients."""
    names = []
    for path, name, subject in zip(cohort.table["path"], cohort.table["class"], cohort.subjects, strict=True):
        names.append(f"{Path(path).name},{hashlib.sha256(Path(path).read_bytes()).hexdigest()},{name},{subject}")
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def each_fold(cohort: Cohort, results: Results, predict) -> None:
    """Calls predict(tested slices, repeat, fold) → (ids, probabilities) for every fold that is not on disk."""
    for repeat, folds in enumerate(cohort.folds):
        for fold in range(cohort.num_folds):
            if not results.finished(repeat, fold):
                began = time.perf_counter()
                ids, probabilities = predict(folds == fold, repeat, fold)
                seconds = time.perf_counter() - began
                results.add(repeat, fold, ids, probabilities, seconds)
    print(f"{results.file.stem}: {len(results.complete().folds)} repeats", flush=True)


def heads_on(name: str, cohort: Cohort, files: dict, device, options: argparse.Namespace) -> None:
    """Every head on the features of one source: class token, with the mean over patches, SD over patches of a block."""
    from benchmarks.transfer.attention_head import attention_pooling
    from benchmarks.transfer.features import features
    from benchmarks.transfer.heads import HEADS

    source = SOURCES[name]
    file = options.out / "features" / f"{name}.safetensors"
    tensors = features(source, files, cohort, device, file)
    found = {key: rows.double().numpy() for key, rows in tensors.items()}
    if options.features_only:
        return
    last, inner = max(source.blocks), min(source.blocks)
    chosen = {"class": [f"{last}_class"], "class+mean": [f"{last}_class", f"{last}_mean"],
              "inner sd": [f"{inner}_sd"]}
    for what, keys in chosen.items():
        x = np.hstack([found[key] for key in keys])
        for head, describe in (HEADS | ({"attention, slices": attention_pooling} if options.attention else {})).items():
            fit = describe(x, cohort)
            row = f"{name}--{what}--{head}".replace(", ", "_").replace(" ", "_")
            each_fold(cohort, Results(options.out, row, cohort), partial(head_fold, fit, cohort))


def head_fold(fit, cohort: Cohort, tested: np.ndarray, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids, probabilities) of a fold's test patients by a head."""
    _, _, ids = cohort.patients(tested[:, None].astype(float))
    return ids[np.isin(ids, cohort.subjects[tested])], fit(tested, 1000 * repeat + fold)


def four_numbers(cohort: Cohort):
    """The logistic regression of tools/compare_runs.py: four numbers a slice in four slabs."""
    from data_setup.audit.baseline_features import four_number_probabilities, patient_table

    numbers, rows = patient_table(cohort.table["path"].tolist(), cohort.keys)
    ids, labels = np.array([subject for subject, _ in rows]), np.array([cohort.class_names.index(k) for _, k in rows])

    def predict(tested: np.ndarray, repeat: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
        known = ~np.isin(ids, cohort.subjects[tested])
        return ids[~known], four_number_probabilities(numbers, labels, known, len(cohort.class_names))

    return predict


def fine_tuned(name: str, cohort: Cohort, files: dict, device, options: argparse.Namespace) -> None:
    """One of TRAININGS in every fold."""
    from dataclasses import replace

    from benchmarks.transfer.fine_tuning import load_weights, read_images, train_fold

    training = TRAININGS[name]
    training = replace(training, epochs=options.epochs) if options.epochs else training
    results = Results(options.out, name, cohort)
    pretrained = load_weights(training, files)
    images = read_images(cohort, pretrained, device, training.whole)
    each_fold(cohort, results, lambda tested, repeat, fold: train_fold(training, pretrained, images, cohort, repeat,
                                                                       fold))
