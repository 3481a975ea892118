"""What the statistics promise, counted on simulated cohorts: python -m benchmarks coverage

Tables: how often each 95 % interval holds the truth; how often a difference is found between equally good networks; how
often p-values and verdicts are wrong; how often each patient is tested over seeds. Each with its Monte-Carlo error.
"""

import argparse
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cohorts import Cell, cells, draw, truth
from benchmarks.timing import table
from functions.evaluation import scores as evaluation
from functions.evaluation.metrics import scored_classes

ORDER, HEALTHY, RESAMPLES = [0, 1, 2], 0, 1000
SCORES = ("accuracy", "balanced_accuracy", "brier", "sensitivity", "specificity", "class AUROC", "auroc",
          "auroc_disease", "slice accuracy")
DIFFERENCES = ("accuracy", "balanced_accuracy", "brier", "auroc", "auroc_disease")
HONEST = {0.90: 1.45, 0.95: 1.85}      # AUROC of diseased or not → signal, equal classes (found by bisection)


def main(given: list[str]) -> None:
    """The command line; tables are printed and written to --out."""
    from functions.checkpointing.run_folder import provenance

    parser = argparse.ArgumentParser(prog="python -m benchmarks coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated a cell [1000]")
    parser.add_argument("--quick", action="store_true", help="20 cohorts a cell: does it run at all?")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/coverage.md"), help="the file of the tables")
    options = parser.parse_args(given)
    cohorts = 20 if options.quick else options.cohorts
    facts = provenance()
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    command = shlex.join(["python", "-m", "benchmarks", "coverage", *given])
    text = [f"`{command}`, commit {facts['commit']}, {versions}; {cohorts:,} cohorts a cell, {RESAMPLES:,} resamples."]
    with ProcessPoolExecutor() as pool:
        for signal in (1.0, 1.8):
            text += [f"**Cohorts (in %) whose 95 % interval holds the truth**, AUROC of diseased or not about "
                     f"{truth('equal', '8 each', signal)['auroc_disease']:.2f} (Monte-Carlo error of 95 %: "
                     f"{_error(0.95, cohorts)}; -: in fewer than a tenth of the cohorts):",
                     _grid(list(pool.map(partial(covered, cohorts=cohorts), cells(signal))), SCORES, signal, cohorts)]
        text += [f"**Cohorts (in %) in which two equally good networks differ** (95 % interval without 0; should be 5, "
                 f"Monte-Carlo error {_error(0.05, cohorts)}):",
                 _grid(list(pool.map(partial(differing, cohorts=cohorts), cells(1.0))), DIFFERENCES, 1.0, cohorts)]
        text += ["**p-values and verdicts:**", table(["cohorts", "of them (in %)", "found", "should be"],
                                                     [row for rows in pool.map(partial(false_alarms, cohorts=cohorts),
                                                                               range(4)) for row in rows])]
    text += ["**Splits:**", splits(30 if options.quick else 1000)]
    print("\n\n".join(text))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n\n".join(text) + "\n", encoding="utf-8")


def _error(share: float, cohorts: int) -> str:
    return f"{100 * np.sqrt(share * (1 - share) / cohorts):.1f}"


def _grid(counts: list[dict[str, list[bool]]], names: tuple[str, ...], signal: float, cohorts: int) -> str:
    rows = []
    for cell, found in zip(cells(signal), counts, strict=True):
        shown = [f"{100 * np.mean(found[name]):.1f}" if len(found.get(name, [])) >= cohorts / 10 else "-"
                 for name in names]
        rows.append([*cell.words, *shown])
    return table(["classes", "patients", "slices", *(name.replace("_", " ") for name in names)], rows)


def covered(cell: Cell, cohorts: int) -> dict[str, list[bool]]:
    """score → whether each interval of it held the truth, over cohorts and, of a class's scores, classes."""
    generator, known = np.random.default_rng(1), truth(cell.prevalence, cell.slices, cell.signal)
    found = {name: [] for name in SCORES}

    def note(name: str, low: float, high: float, target: float) -> None:
        if np.isfinite(low) and np.isfinite(high):
            found[name].append(bool(low <= target <= high))

    for number in range(cohorts):
        [cohort] = draw(cell, generator)
        who = np.arange(len(cohort.y))
        classes = scored_classes(cohort.y, who)
        spans = evaluation.score_intervals(cohort.p, cohort.y, who, HEALTHY, classes, RESAMPLES, number)
        targets = {"accuracy": known["accuracy"], "brier": known["brier"], "auroc_disease": known["auroc_disease"]}
        if classes:
            targets |= {"balanced_accuracy": known["sensitivity"][classes].mean(),
                        "auroc": known["auroc"][classes].mean()}
        for name, span in spans.items():
            if name in targets:
                note(name, *span, targets[name])
        for k, row in enumerate(evaluation.by_class(cohort.p, cohort.y, who, "abc")):
            for what in ("sensitivity", "specificity", "auroc"):
                if what in row:
                    note("class AUROC" if what == "auroc" else what, row[what]["low"], row[what]["high"],
                         known[what][k])
        span = evaluation.slice_intervals(cohort.q, cohort.y[cohort.owner], cohort.owner)
        note("slice accuracy", *span["accuracy"], known["slice accuracy"])
    return found


def differing(cell: Cell, cohorts: int) -> dict[str, list[bool]]:
    """score → whether the interval of the difference of two equally good networks left 0 out."""
    generator, found = np.random.default_rng(2), {name: [] for name in DIFFERENCES}
    for number in range(cohorts):
        first, second = draw(cell, generator, networks=2)
        who = np.arange(len(first.y))
        rows = evaluation.paired(first.p, second.p, first.y, who, ORDER, HEALTHY, RESAMPLES, number)
        for name, row in rows.items():
            if name in found and np.isfinite(row["low"]):
                found[name].append(bool(row["low"] > 0 or row["high"] < 0))
    return found


def false_alarms(part: int, cohorts: int) -> list[list[str]]:
    """Rows of the table of p-values and verdicts."""
    rows, generator = [], np.random.default_rng(3 + part)
    if part == 0:
        for prevalence, patients, slices in (("equal", 24, "8 each"), ("80/15/5", 40, "1 to 60")):
            cell = Cell(prevalence, patients, slices, 0.0)
            judged = [_judge(*draw(cell, generator), number) for number in range(cohorts)]
            rows += _rows(f"no signal, {patients} patients, classes {prevalence}", judged, cohorts)
    elif part == 1:            # every second patient came twice and changed stage in between
        judged = []
        for number in range(cohorts):
            [cohort] = draw(Cell("equal", 24, "8 each", 0.0), generator)
            twice = np.arange(0, 24, 2)
            who = np.r_[np.arange(24), twice]
            p = np.r_[cohort.p, cohort.p[twice] + 0.01 * generator.normal(size=(12, 3))]
            y = np.r_[cohort.y, (cohort.y[twice] + 1) % 3]
            judged.append(evaluation.evaluate_patients(p, y, who, ORDER, 0, HEALTHY, 199, number)["auroc_disease"])
        rows += _rows("no signal, 24 patients, 12 of them with two labels", judged, cohorts)
    else:
        value, signal = list(HONEST.items())[part - 2]
        judged = [_judge(*draw(Cell("equal", 32, "8 each", signal), generator), number) for number in range(cohorts)]
        found = np.mean([score["verdict"] == evaluation.TOO_GOOD for score in judged])
        rows.append([f"an honest AUROC of {truth('equal', '8 each', signal)['auroc_disease']:.3f} (aimed at {value}), "
                     "32 patients", f'called "{evaluation.TOO_GOOD}"', _percent(found, cohorts), "5 or less"])
    return rows


def _judge(cohort, number: int) -> dict:
    return evaluation.evaluate_patients(cohort.p, cohort.y, np.arange(len(cohort.y)), ORDER, 0, HEALTHY, 199,
                                        number)["auroc_disease"]


def _rows(words: str, judged: list[dict], cohorts: int) -> list[list[str]]:
    defined = [score["p"] < 0.05 for score in judged if np.isfinite(score["p"])]
    better = np.mean([score["verdict"].startswith("better") for score in judged])
    return [[words, "p < 0.05", _percent(np.mean(defined), len(defined)), "5 or less"],
            [words, 'verdict "better"', _percent(better, cohorts), "5 or less"]]


def _percent(share: float, cohorts: int) -> str:
    return f"{100 * share:.1f} ± {100 * np.sqrt(max(share * (1 - share), 0.25 / cohorts) / cohorts):.1f}"


def splits(seeds: int) -> str:
    """How often each of 60 patients of distinct numbers of slices (1 to 60) is in the test set, over seeds."""
    from data_setup.splits.split import hold_out

    size = np.random.default_rng(0).permutation(60) + 1
    subjects = np.repeat([f"sub-{person:02d}" for person in range(60)], size)
    classes = np.repeat(np.array(["a"] * 30 + ["b"] * 22 + ["c"] * 8), size)
    held = [np.unique(subjects[hold_out(classes, subjects, 0.2, seed)]) for seed in range(seeds)]
    counts = np.unique(np.concatenate(held), return_counts=True)[1]
    different = len({tuple(people) for people in held})
    return table(["seeds", "different test sets", "patients never tested", "tests of a patient: least, mean, most",
                  "expected if all are equally likely"],
                 [[str(seeds), str(different), str(60 - len(counts)), f"{counts.min()}, {counts.mean():.0f}, "
                   f"{counts.max()}", f"{seeds / 5:.0f} ± {np.sqrt(seeds * 0.16):.0f}"]])


if __name__ == "__main__":
    main(sys.argv[1:])
