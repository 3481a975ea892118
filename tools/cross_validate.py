"""Cross-validates a training script over patients: tools/cross_validate.py --folds 5 train.py --epochs 10

Options of this tool come before the script, the script's own flags after it."""

import sys
from argparse import REMAINDER, Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))    # run as a file, from anywhere

from functions.config.parser import OneLineParser, make_parser
from functions.config.settings import SCRATCH, TRANSFER, count, name_and_values, weights_source
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors

SCRIPTS = {"train.py": SCRATCH, "train_transferlearning.py": TRANSFER}
TOOLS = ("--folds", "--repeats", "--fold_seed", "--jobs", "--tune", "--keep_weights", "--show_test")
OWN = {"name", "split", "resume", "stop_after", "profile", "hide_test"}      # set by this tool, or useless in it


def main() -> None:
    """Parses both command lines, then trains what is missing and reports."""
    with one_line_errors():
        parser = OneLineParser(description=__doc__)
        parser.add_argument("--folds", type=count, default=5, metavar="K", help="folds of patients [5]")
        parser.add_argument("--repeats", type=count, default=1, metavar="R", help="divisions into folds [1]")
        parser.add_argument("--fold_seed", type=int, default=0, metavar="X", help="seed of the folds [0]")
        parser.add_argument("--jobs", type=count, default=1, metavar="N", help="trainings at a time [1]; with several "
                            "GPUs each gets one")
        parser.add_argument("--name", default="CrossValidation", metavar="X", help="folder under runs/; the same "
                            "command continues there [CrossValidation]")
        parser.add_argument("--tune", action="append", default=[], metavar="FLAG=A,B,…", help="choose a value in each "
                            "fold by validation loss, never by test patients; repeatable: all combinations")
        parser.add_argument("--keep_weights", action="store_true", help="keep the checkpoints of finished folds")
        parser.add_argument("--show_test", action="store_true", help="score test patients after every epoch too")
        parser.add_argument("script", choices=SCRIPTS, metavar="SCRIPT", help=" or ".join(SCRIPTS))
        parser.add_argument("flags", nargs=REMAINDER, metavar="…", help="flags of the script")
        options = parser.parse_args()
        if late := [flag for flag in options.flags if flag.split("=")[0] in TOOLS]:
            raise UserError(f"{late[0]} is an option of this tool: give it before {options.script}")
        flags = vars(make_parser(f"{options.script} within a cross-validation",
                                 SCRIPTS[options.script]).parse_args(options.flags))
        if given := sorted(OWN & set(flags)):
            raise UserError(f"--{given[0]} cannot be given to {options.script} here: this tool sets the split, the "
                            "names and --hide_test, and the same command continues an interrupted cross-validation")
        if not options.show_test:
            options.flags, flags = [*options.flags, "--hide_test"], flags | {"hide_test": True}
        cross_validate(options, flags)


def cross_validate(options: Namespace, flags: dict) -> None:
    """Slices, folds, trainings, out-of-fold predictions, report."""
    from data_setup.listing.data_folders import is_demo
    from data_setup.loading.cohort import read_cohort
    from functions.checkpointing.run_folder import write_table
    from functions.checkpointing.run_names import check_name, check_writable
    from functions.config.recipes import resolve
    from functions.cross_validation import report
    from functions.cross_validation.out_of_fold import class_notes, from_slices
    from functions.cross_validation.trainings import (
        Plan,
        check_tune,
        read_predictions,
        start_folder,
        train_all,
        write_splits,
    )

    check_name(options.name, 100)
    check_writable(Path("runs"))
    check_tune(options.tune, SCRIPTS[options.script], flags)
    settings, _ = resolve(flags, is_demo(flags), SCRIPTS[options.script])
    cohort = read_cohort(settings, options.folds, options.repeats, options.fold_seed)
    plan = Plan(Path("runs") / options.name, options.script, options.flags, options.tune, cohort.digest, options.folds,
                options.repeats, options.fold_seed, vars(settings) | weights_hashes(settings, options.tune))
    start_folder(plan)
    write_table(plan.folder / "folds.csv", cohort.fold_table)
    splits = write_splits(plan, cohort.splits(options.fold_seed))
    size = (f"{cohort.num_patients} patients, {len(cohort.table):,} slices; {options.repeats} repeat(s) of "
            f"{options.folds} folds, {plan.combinations} setting(s): {plan.trainings} runs in {plan.folder}")
    print(*map(printable, [*cohort.notes, size]), sep="\n")
    try:
        train_all(plan, splits, options.jobs, environments(options.jobs), options.keep_weights,
                  progress(plan.trainings))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished trainings are kept: the same command continues after them") from None
    table, notes, caveats = read_predictions(plan, splits)
    models = {options.script: from_slices(table, cohort.class_names)}
    four, note = four_numbers(cohort, models[options.script])
    models |= {"four numbers": four} if four else {}
    notes += ([note] if note else []) + class_notes(models[options.script])
    print(*map(printable, report.lines(models, notes)), sep="\n")
    report.write(plan.folder, models, [*cohort.notes, *notes], caveats, plan.facts())
    print(f"{plan.folder} holds folds.csv, predictions.csv, metrics.json and report.html")


def weights_hashes(settings: Namespace, tune: list[str]) -> dict[str, str]:
    """The SHA-256 of every file or folder of weights that is given, also by --tune: it can change under its name."""
    from models.pretrained.places.folders import weights_hash

    tuned = dict(map(name_and_values, tune)).get("weights", [])
    given = [weights_source(one) for one in tuned] or [getattr(settings, "weights", None)]
    hashes = [weights_hash(one) for one in given if isinstance(one, Path)]
    return {"weights_sha256": " ".join(hashes)} if hashes else {}


def progress(total: int):
    """A function that prints how many of `total` trainings are finished, and the time that the others will take."""
    import time

    from functions.training.throughput import format_seconds

    began, before = time.monotonic(), []

    def finished(done: int) -> None:
        before.append(done)
        new = done - before[0]
        left = f", about {format_seconds((time.monotonic() - began) / new * (total - done))} left" if new else ""
        print(f"{done} of {total} trainings finished{left if done < total else ''}", flush=True)

    return finished


def environments(jobs: int) -> list[dict[str, str]]:
    """What each of `jobs` trainings at a time gets: one of several GPUs, or its share of the CPU cores."""
    import torch

    from data_setup.resources import available_cores

    gpus = torch.cuda.device_count()
    threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // jobs))} if jobs > 1 else {}
    return [threads | ({"CUDA_VISIBLE_DEVICES": str(job % gpus)} if gpus > 1 else {}) for job in range(jobs)]


def four_numbers(cohort, network):
    """(the logistic regression on four numbers on the same folds, ""), or (None, why not)."""
    from dataclasses import replace

    import numpy as np

    from data_setup.audit.baseline_features import four_number_probabilities, patient_table

    keys = list(zip(cohort.table["subject"], cohort.table["class"], strict=True))
    try:
        numbers, rows = patient_table(cohort.table["path"].tolist(), keys)
    except UserError as error:
        return None, f"no comparison with four numbers: {error}"
    row_of = {(str(subject), name): row for row, (subject, name) in enumerate(rows)}
    names = [cohort.class_names[label] for label in network.labels]
    numbers = numbers[[row_of[str(subject), name] for subject, name in zip(network.subjects, names, strict=True)]]
    found = np.zeros_like(network.probabilities)
    for repeat, folds in enumerate(network.folds):
        for fold in range(network.num_folds):
            known = folds != fold
            found[repeat, ~known] = four_number_probabilities(numbers, network.labels, known, len(cohort.class_names))
    return replace(network, probabilities=found), ""


if __name__ == "__main__":
    main()
