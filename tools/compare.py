"""Learning curves of many methods on growing numbers of training patients: should this have been a ViT?

    python tools/compare.py --demo
    python tools/compare.py --train_dir DATA/train --test_dir DATA/test --weights vit_ti_16=FILE --out runs/mine

Every patient is tested once per repeat. Every finished fit is on disk, and the same command continues after them."""

import sys
from argparse import ArgumentTypeError, Namespace
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import image_size
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

REAL, DEMO = {"image_size": (96, 80), "steps": 200}, {"image_size": (48, 40), "steps": 40}
EVERY = 30.0       # seconds between two lines on progress


def main() -> None:
    """Parses the command line, fits what is missing, and reports."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__.splitlines()[0])
        parser.add_argument("--demo", action="store_true", help="the phantom; default without any data")
        parser.add_argument("--train_dir", type=Path, metavar="X", help="class folders")
        parser.add_argument("--test_dir", type=Path, metavar="X", help="class folders; all slices are pooled")
        parser.add_argument("--subjects", type=Path, metavar="X", help="CSV with columns path, subject, and age, sex")
        parser.add_argument("--subject_pattern", metavar="X", help='regex with a group "subject"')
        parser.add_argument("--methods", metavar="A,B,…", help="some of those in docs/compare.md [all]")
        parser.add_argument("--patients", default="10,20,40,80,all", metavar="N,…", help="[10,20,40,80,all]")
        parser.add_argument("--folds", type=_count, default=5, metavar="K", help="folds of patients [5]")
        parser.add_argument("--repeats", type=_count, default=1, metavar="R", help="divisions into folds [1]")
        parser.add_argument("--weights", nargs="*", default=[], metavar="MODEL=FILE", help="pretrained weights: "
                            "vit_ti_16=FILE, resnet18=FILE")
        parser.add_argument("--image_size", type=image_size, metavar="HxW", help="of networks trained here "
                            "[96x80; demo: 48x40]")
        parser.add_argument("--steps", type=_count, metavar="N", help="optimiser steps of a ResNet-18; the others take "
                            "a multiple [200; demo: 40]")
        parser.add_argument("--seed", type=int, default=0, metavar="N", help="of folds, subsets, networks [0]")
        parser.add_argument("--jobs", type=_count, metavar="N", help="fits at a time [one per core]")
        parser.add_argument("--out", type=Path, default=Path("runs/Comparison"), metavar="FOLDER", help="methods and "
                            "sizes may be added to it later [runs/Comparison]")
        parser.add_argument("--share", default="1/1", metavar="I/N", help="only this share of the fits, no report")
        options = parser.parse_args()
        if options.share == "1/1":
            compare(options)
        else:
            fit_share(*prepare(options)[:2], *map(int, options.share.split("/")))


def prepare(options: Namespace):
    """(plan, setup, notes): what is fitted, and what could not be."""
    from data_setup.listing.data_folders import is_demo
    from functions.learning_curves.methods import parse_methods, parse_sizes, parse_weights, size_name
    from functions.learning_curves.plan import Plan, start_folder
    from functions.learning_curves.subsets import possible_sizes
    from models.pretrained.weight_files import file_hash
    from models.small import token_size
    from tools.comparison.setup import read_setup, split_methods

    given = {name: getattr(options, name) for name in ("train_dir", "test_dir", "subjects") if getattr(options, name)}
    options.demo = is_demo(given | ({"demo": True} if options.demo else {}))
    for name, value in (DEMO if options.demo else REAL).items():
        setattr(options, name, getattr(options, name) or value)
    token_size(options.image_size)
    methods, sizes, weights = (parse_methods(options.methods), parse_sizes(options.patients),
                               parse_weights(options.weights))
    setup, notes, digest = read_setup(options, weights)
    methods, left_out = split_methods(setup, methods)
    sizes, too_large = possible_sizes(setup.cohort, sizes)
    if not sizes:
        raise UserError(f"--patients {options.patients}: no fold has so many training patients")
    notes += [f"left out: {size_name(size)} patients: a fold has no more than that to train on" for size in too_large]
    start_folder(options.out, {"slices_and_folds_sha256": digest, "folds": options.folds, "repeats": options.repeats,
                               "seed": options.seed, "image_size": list(options.image_size), "steps": options.steps},
                 {kind: file_hash(file) for kind, (_, file) in weights.items()})
    return Plan(options.out, setup.cohort, methods, sizes, options.seed), setup, [*notes, *left_out]


def fit_share(plan, setup, part: int, count: int) -> None:
    """Every `count`-th fit from the `part`-th on."""
    from functools import partial

    from functions.learning_curves.plan import run_fits
    from tools.comparison.fits import make_fit

    run_fits(plan, plan.cells[part - 1::count], partial(make_fit, setup=setup), lambda cell, fit: print(
        f"{cell.file}: {fit.patients} patients, {fit.images:,} images, {fit.seconds:.1f} s", flush=True))


def compare(options: Namespace) -> None:
    """Slices, folds, subsets, fits, report."""
    from data_setup.resources import available_cores
    from functions.checkpointing.run_names import check_writable
    from functions.learning_curves import report
    from functions.runtime.jobs import Job, run_jobs
    from functions.runtime.json_files import read_json
    from functions.training.console import DEMO as PHANTOM
    from tools.comparison.fits import frozen_features

    check_writable(options.out.parent)
    plan, setup, notes = prepare(options)
    plan.write_subsets()
    notes += plan.class_notes()
    cores, jobs = available_cores(), options.jobs or available_cores()
    print(printable(f"{len(set(setup.cohort.subjects))} patients, {len(setup.cohort.table):,} slices; "
                    f"{len(plan.cells)} fits of {len(plan.methods)} methods in {plan.folder}, {jobs} at a time"))
    for note in notes:
        print(printable(note), flush=True)
    if {"vit_probe", "vit_head"} & set(plan.methods):
        frozen_features(setup)
    with progress(plan):
        if jobs == 1:
            fit_share(plan, setup, 1, 1)
        else:
            logs, threads = plan.folder / "logs", {"OMP_NUM_THREADS": str(max(1, cores // jobs))}
            logs.mkdir(exist_ok=True)
            run_jobs([Job(f"share {number}", [*sys.argv, "--share", f"{number}/{jobs}"], logs / f"{number}.txt")
                      for number in range(1, jobs + 1)], jobs, [threads] * jobs, lambda job: None)
    curves, facts = plan.curves(), read_json(plan.folder / "plan.json") | {"fits at a time": jobs, "cores": cores}
    report.write(plan.folder, curves, notes, [PHANTOM] if options.demo else [], facts)
    print("", *map(printable, [*report.table_lines(curves), "", *report.lines(curves, notes)]), sep="\n")
    print(f"{plan.folder} holds table.md, table.csv, metrics.json, learning_curves.png, report.html and predictions/")


@contextmanager
def progress(plan):
    """Prints the number of finished fits every EVERY seconds."""
    from threading import Event, Thread

    from functions.learning_curves.cells import Cells

    def watch() -> None:
        store = Cells(plan.folder, plan.cohort)
        while not stop.wait(EVERY):
            print(f"{sum(map(store.finished, plan.cells))} of {len(plan.cells)} fits finished", flush=True)

    stop, watcher = Event(), Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished fits are kept: the same command continues after them") from None
    finally:
        stop.set()
        watcher.join()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'"{text}" is not a number of at least 1')
    return int(text)


if __name__ == "__main__":
    main()
