"""Networks on growing numbers of real patients, frozen or trained further: what generated brains save.

    python -m benchmarks pretraining_curve [ROW ...] --data DIR --out FOLDER [--tuned ROW ...]
        [--features NAME=FILE:KEY ...]

The rows are networks in FOLDER, written by `python -m benchmarks pretraining`, and "untrained". Class tokens and
outputs of slices get the same ridge head, fitted to the same nested subsets of training patients; of the rows of
--tuned all layers are trained on the slices of these patients.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from functions.config.parser import OneLineParser
from functions.config.settings import count
from functions.runtime.errors import UserError
from functions.runtime.exits import one_line_errors

SIZES = (10, 20, 40, 80)        # training patients; then all
ALL_LAYERS = ", all layers"
FOUR, SCRATCH = "four numbers", f"untrained{ALL_LAYERS}"


def main(arguments: Sequence[str]) -> None:
    """Prints and writes the table of the curves, OUT/curve.md, and their figure, OUT/curve.png."""
    parser = OneLineParser(prog="python -m benchmarks pretraining_curve", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="frozen networks [fine-8000 untrained, "
                        "unless --tuned is given]")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/ with class folders")
    parser.add_argument("--tuned", nargs="*", default=[], metavar="ROW", help="networks to fine-tune, all layers")
    parser.add_argument("--features", nargs="*", default=[], metavar="NAME=FILE:KEY", help="other features of all "
                        "slices, from files of python -m benchmarks transfer")
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--repeats", type=count, default=4)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/pretraining"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    with one_line_errors():
        run(options)


def run(options: argparse.Namespace) -> None:
    """Every method at every size, then the table and the figure."""
    from benchmarks.pretraining.figures import plot_curve
    from benchmarks.timing import table
    from benchmarks.transfer.cohort import read_cohort
    from benchmarks.transfer.table import interval, signed
    from functions.cross_validation.pooled import fold_aurocs, paired_auroc, pooled_auroc
    from functions.learning_curves.methods import ALL
    from functions.learning_curves.subsets import possible_sizes
    from functions.reports.html_page import write_png

    cohort = read_cohort(options.data, options.folds, options.repeats, 0)
    fits, rows = methods(options, cohort), []
    curves: dict[str, list] = {name: [] for name in fits}
    _, labels, _ = cohort.patients(np.zeros((len(cohort.labels), 1)))
    positive = labels != cohort.healthy
    sizes, left_out = possible_sizes(cohort, (*SIZES, ALL))
    for size in left_out:
        print(f"{size} training patients: left out, a fold has fewer")
    for size in sizes:
        found = {name: out_of_fold(fit, cohort, size) for name, fit in fits.items()}
        for name, score in found.items():
            own, opponents = pooled_auroc(score, positive), [FOUR, *([SCRATCH] if name.endswith(ALL_LAYERS) else [])]
            gaps = [signed(paired_auroc(score, found[other], positive)) if other in found and other != name else ""
                    for other in opponents]
            inside = np.nanmean(fold_aurocs(score, positive, cohort.patient_folds()))
            curves[name].append((size if size != ALL else training_patients(cohort), own, inside))
            rows.append([str(size) if size != ALL else "all", name, interval(own),
                         f"{inside:.3f}", *gaps, *[""] * (2 - len(gaps))])
        text = table(("training patients", "features", "AUROC", "mean within folds", f"minus {FOUR}",
                      f"minus {SCRATCH}"), rows)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "curve.md").write_text(text + "\n", encoding="utf-8")
    write_png(options.out / "curve.png", plot_curve(curves))
    print(text)


def training_patients(cohort) -> float:
    """The mean number of training patients of a fold."""
    return cohort.patient_folds().shape[1] * (1 - 1 / cohort.num_folds)


def methods(options: argparse.Namespace, cohort) -> dict[str, Callable]:
    """Name → fit(known slices, tested slices, seed) → P(diseased) of the test patients."""
    from benchmarks.pretraining.network import class_tokens, load_network, outputs, untrained
    from benchmarks.pretraining.readout import read_slices, standardised
    from benchmarks.pretraining.tuning import all_layers

    read, features = read_slices(cohort.table["path"].tolist()), {}
    images = standardised(read)
    for name in options.rows or ([] if options.tuned else ["fine-8000", "untrained"]):
        model = untrained() if name == "untrained" else load_network(options.out / f"{name}.safetensors")
        features[f"{name}, class token"] = class_tokens(model, images)
        if name != "untrained":
            features[f"{name}, its eight outputs"] = outputs(model, images)
    features |= dict(given_features(given, len(cohort.labels)) for given in options.features)
    return ({FOUR: four_numbers(cohort)} | {name: ridge(x, cohort) for name, x in features.items()}
            | {f"{name}{ALL_LAYERS}": all_layers(name, options.out, read, cohort) for name in options.tuned})


def given_features(given: str, slices: int) -> tuple[str, np.ndarray]:
    """The name and the features (slices, D) of NAME=FILE:KEY; UserError if FILE does not hold them."""
    from benchmarks.transfer.features import read_features

    name, _, where = given.partition("=")
    file, _, key = where.rpartition(":")
    if not (name and file and key):
        raise UserError(f"--features {given}: expected NAME=FILE:KEY, such as ti=ti_224.safetensors:12_class")
    return name, read_features(Path(file), key, slices)


def ridge(x: np.ndarray, cohort) -> Callable:
    """The ridge head on slices, fitted to the slices `known`."""
    from data_setup.splits.folds import patient_folds
    from functions.cross_validation.ridge import ridge_fitted_to

    def fit(known: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        return 1 - ridge_fitted_to(known, x, cohort, patient_folds, tested, seed)[:, cohort.healthy]

    return fit


def four_numbers(cohort) -> Callable:
    """The logistic regression on four numbers per slice in four slabs, fitted to the patients of the slices `known`."""
    from data_setup.audit.baseline_features import four_number_probabilities, patient_table
    from functions.learning_curves.baselines import of_patients

    numbers = patient_table(cohort.table["path"].tolist(), cohort.keys)[0]
    learn = partial(four_number_probabilities, num_classes=len(cohort.class_names))

    def fit(known: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        return 1 - of_patients(learn, cohort, numbers, known, tested)[:, cohort.healthy]

    return fit


def out_of_fold(fit: Callable, cohort, size: int) -> np.ndarray:
    """P(diseased) (R, patients) of every patient by fits on `size` other patients, the same for every method."""
    from functions.learning_curves.subsets import training_order, training_slices

    _, _, ids = cohort.patients(np.zeros((len(cohort.labels), 1)))
    scores = np.full((len(cohort.folds), len(ids)), np.nan)
    for repeat in range(len(cohort.folds)):
        for fold in range(cohort.num_folds):
            known = training_slices(cohort, training_order(cohort, repeat, fold, 0), size, repeat, fold)
            tested = cohort.tested(repeat, fold)
            scores[repeat, np.isin(ids, cohort.subjects[tested])] = fit(known, tested, 1000 * repeat + fold)
    return scores
