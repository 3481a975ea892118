"""Learning curves of many methods on growing numbers of training patients: should this have been a ViT?

    python tools/compare.py --demo
    python tools/compare.py --train_dir DATA/train --test_dir DATA/test --weights vit_ti_16=FILE --out runs/mine

Every patient is tested once per repeat. Every finished fit is on disk, and the same command continues after them."""

import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser
from functions.config.settings import count, image_size, seed
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

REAL = {"image_size": (96, 80), "steps": 200, "folds": 5}
DEMO = {"image_size": (48, 40), "steps": 40, "folds": 3}


def main() -> None:
    """Parses the command line, fits what is missing, and reports."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__.splitlines()[0])
        parser.add_argument("--demo", action="store_true", help="the phantom; default without any data")
        parser.add_argument("--train_dir", type=Path, metavar="X", help="class folders")
        parser.add_argument("--test_dir", type=Path, metavar="X", help="class folders; all slices are pooled")
        parser.add_argument("--table", type=Path, metavar="X", help="clinical table: patients, classes, age, sex")
        parser.add_argument("--subjects", type=Path, metavar="X", help="CSV with columns path, subject")
        parser.add_argument("--subject_pattern", metavar="X", help='regex with a group "subject"')
        parser.add_argument("--methods", metavar="A,B,…", help="some of those in docs/compare.md [all]")
        parser.add_argument("--patients", default="10,20,40,80,all", metavar="N,…", help="[10,20,40,80,all]")
        parser.add_argument("--folds", type=count, metavar="K", help="folds of patients [5; demo: 3]")
        parser.add_argument("--repeats", type=count, default=1, metavar="R", help="divisions into folds [1]")
        parser.add_argument("--weights", nargs="*", default=[], metavar="MODEL=FILE", help="pretrained weights: "
                            "vit_ti_16=FILE, resnet18=FILE")
        parser.add_argument("--image_size", type=image_size, metavar="HxW", help="of networks trained here "
                            "[96x80; demo: 48x40]")
        parser.add_argument("--steps", type=count, metavar="N", help="optimiser steps of a ResNet-18; the others take "
                            "a multiple [200; demo: 40]")
        parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of folds, subsets, networks [0]")
        parser.add_argument("--jobs", type=count, metavar="N", help="fits at a time [one per core]")
        parser.add_argument("--out", type=Path, default=Path("runs/Comparison"), metavar="FOLDER", help="methods and "
                            "sizes may be added to it later [runs/Comparison]")
        parser.add_argument("--report_only", action="store_true", help="report what is complete, fit nothing")
        parser.add_argument("--share", type=_share, metavar="I/N", help="only this share of the fits, without a report")
        options = parser.parse_args()
        compare(options)


def prepare(options: Namespace):
    """(plan, setup, notes): what is fitted, and what could not be."""
    from data_setup.listing.data_folders import is_demo
    from functions.learning_curves.methods import parse_methods, parse_sizes, parse_weights, size_name
    from functions.learning_curves.plan import Plan, start_folder
    from functions.learning_curves.subsets import possible_sizes
    from models.small import token_size
    from tools.comparison.fits import find_weights
    from tools.comparison.setup import read_setup, split_methods

    given = {name: getattr(options, name) for name in ("train_dir", "test_dir", "table", "subjects")
             if getattr(options, name)}
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
    digests = {kind: find_weights(setup, kind, options.image_size).sha256 for kind in weights}     # or a UserError
    start_folder(options.out, {"slices_and_folds_sha256": digest, "folds": options.folds, "repeats": options.repeats,
                               "seed": options.seed, "image_size": list(options.image_size), "steps": options.steps},
                 digests)
    return Plan(options.out, setup.cohort, methods, sizes, options.seed), setup, [*notes, *left_out]


def compare(options: Namespace) -> None:
    """Slices, folds, subsets, fits, report."""
    from data_setup.resources import available_cores
    from functions.checkpointing.run_names import check_writable
    from functions.learning_curves import report
    from functions.learning_curves.plan import plan_facts
    from functions.training.console import DEMO as PHANTOM
    from tools.comparison.run import fit_all, fit_share

    check_writable(options.out.parent)
    plan, setup, notes = prepare(options)
    if options.share:
        fit_share(plan, setup, *options.share)
        return
    plan.write_subsets()
    notes += plan.class_notes()
    cores, jobs = available_cores(), options.jobs or available_cores()
    print(printable(f"{len(set(setup.cohort.subjects))} patients, {len(setup.cohort.table):,} slices; "
                    f"{len(plan.cells)} fits of {len(plan.methods)} methods in {plan.folder}, {jobs} at a time"))
    for note in notes:
        print(printable(note), flush=True)
    if not options.report_only:
        fit_all(plan, setup, jobs, max(1, cores // jobs))
    if not (curves := plan.curves()):
        raise UserError(f"no method is complete in {plan.folder}: leave out --report_only")
    notes += plan.incomplete(curves)
    report.write(plan.folder, curves, notes, [PHANTOM] if options.demo else [],
                 plan_facts(plan.folder) | {"fits at a time": jobs, "cores": cores})
    print("", *map(printable, [*report.table_lines(curves), "", *report.lines(curves, notes)]), sep="\n")
    print(f"{plan.folder} holds table.md, table.csv, metrics.json, learning_curves.png, report.html and predictions/")


def _share(text: str) -> tuple[int, int]:
    part, slash, shares = text.partition("/")
    if not slash or not count(part) <= count(shares):
        raise ArgumentTypeError(f'"{text}" is not a share such as 1/2')
    return count(part), count(shares)


if __name__ == "__main__":
    main()
