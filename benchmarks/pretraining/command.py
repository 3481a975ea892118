"""Pretrains small networks on generated brains and scores them on real slices they were never trained on.

    python -m benchmarks pretraining [ROW ...] --data DIR [--out FOLDER]

Brains, networks and results are on disk: the same command computes only what is missing.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from functions.config.parser import OneLineParser
from functions.config.settings import count
from functions.runtime.exits import one_line_errors

TRAINING_SEED, CHECKING_SEED, READOUT_SEED = 100, 55, 77       # of the generated people
READOUT_PEOPLE, CHECKING_PEOPLE = 300, 200


class Row(NamedTuple):
    """The kind and number of generated people, whether their acquisition varies, the network's seed, and the steps."""

    kind: str = "fine"
    people: int = 1000
    vary: bool = True
    seed: int = 0
    steps: int = 800            # batches of 64 slices


# fixed before the first result; the first answers the question, the others say what it depends on
ROWS = {"fine-8000": Row(people=8000), "fine-1000": Row(), "fine-100": Row(people=100),
        "stripped-1000": Row("stripped"), "published-1000": Row("published"), "fine-1000-one_scanner": Row(vary=False),
        "fine-8000-seed1": Row(people=8000, seed=1), "fine-8000-seed2": Row(people=8000, seed=2)}
# two more pairs of networks, fixed before their first result: the same steps on 12.5 times as many people
LONG = {f"fine-{people}-steps3200-seed{seed}": Row(people=people, seed=seed, steps=3200)
        for people in (100_000, 8000) for seed in (3, 4)}


def main(arguments: Sequence[str]) -> None:
    """Computes what is missing of the chosen rows, then prints the table of all that is finished; OUT/people.png."""
    parser = OneLineParser(prog="python -m benchmarks pretraining", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"default: all of {', '.join(ROWS)}, and untrained; "
                        f"more: {', '.join(LONG)}")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/ with class folders")
    parser.add_argument("--steps", type=count, help="instead of the rows' own: for trying the command")
    parser.add_argument("--people", type=count, help="instead of the rows' own: for trying the command")
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--repeats", type=count, default=10,
                        help="of four numbers and of heads on frozen features [10]")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/pretraining"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    for name in options.rows:
        if name not in (*ROWS, *LONG, "untrained"):
            parser.error(f'no row "{name}": it is one of {", ".join([*ROWS, *LONG])} and untrained')
    with one_line_errors():
        run(options)


def run(options: argparse.Namespace) -> None:
    """Every row in turn, then the table and the figure."""
    from benchmarks.pretraining.figures import plot_people
    from benchmarks.pretraining.readout import real_slices
    from benchmarks.pretraining.table import by_people, write_table
    from benchmarks.transfer.cohort import Results, check_inputs, read_cohort
    from benchmarks.transfer.command import each_fold, four_numbers, slices_hash
    from functions.reports.html_page import write_png

    cohort = read_cohort(options.data, options.folds, options.repeats, 0)
    check_inputs(options.out, {"the slices": slices_hash(cohort), "--steps": str(options.steps),
                               "--people": str(options.people)})
    each_fold(cohort, Results(options.out, "four_numbers", cohort), four_numbers(cohort))
    images = real_slices(cohort.table["path"].tolist())
    for name in options.rows or ["untrained", *ROWS]:
        one_row(name, options, cohort, images)
    print(write_table(options.out, cohort))
    if options.people or options.steps:                     # a trial: its networks are not those of the rows
        return
    networks, four = by_people(options.out, cohort, {
        name: row for name, row in (ROWS | LONG).items() if row.kind == "fine" and row.vary})
    if networks:
        write_png(options.out / "people.png", plot_people(networks, four))


def one_row(name: str, options: argparse.Namespace, cohort, images) -> None:
    """One network: pretrained, read out without any real patient, and as frozen features with a ridge head."""
    from functools import partial

    from benchmarks.pretraining.brains import generated
    from benchmarks.pretraining.network import class_tokens, explained, load_network, outputs, pretrain, untrained
    from benchmarks.pretraining.readout import all_outputs, people_outputs, visible_outputs, write_outputs
    from benchmarks.transfer.cohort import Results
    from benchmarks.transfer.command import each_fold, head_fold
    from benchmarks.transfer.heads import ridge_on_slices
    from data_setup.phantom.stripped import QUANTITIES
    from functions.runtime.atomic_files import write_text

    folder = options.out / "brains"
    if name == "untrained":
        model = untrained()
    else:
        row = (ROWS | LONG)[name]
        people = options.people or row.people
        file = options.out / f"{name}.safetensors"
        model = load_network(file) if file.exists() else pretrain(
            generated(row.kind, people, TRAINING_SEED, folder), options.steps or row.steps, row.seed, row.vary, file)
        checking = generated(row.kind, min(people, CHECKING_PEOPLE), CHECKING_SEED, folder)
        write_text(options.out / f"{name}.explained.csv", ",".join(QUANTITIES) + "\n" + ",".join(
            f"{value:.3f}" for value in explained(model, checking)) + "\n")
        staged = generated(row.kind, min(people, READOUT_PEOPLE), READOUT_SEED, folder, by_stage=True)
        known, diseased = people_outputs(model, staged), staged.stages > 0
        means, _, ids = cohort.patients(outputs(model, images))
        write_outputs(options.out / f"{name}.outputs.csv", ids, means, {
            "p_all": all_outputs(known, diseased, means), "p_visible": visible_outputs(known, diseased, means)})
    fit = ridge_on_slices(class_tokens(model, images), cohort)
    each_fold(cohort, Results(options.out, f"{name}--ridge", cohort), partial(head_fold, fit, cohort))
