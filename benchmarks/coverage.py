"""Coverage of intervals and error rates of tests on simulated cohorts: python -m benchmarks coverage

Tables: the coverage of each 95 % interval; how often a difference is found between equally good networks, and how often
the interval covers that of unequal ones; how often p-values and verdicts are wrong; how often each patient is tested.
Each with its Monte Carlo error.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np
import sklearn

from benchmarks.cohorts import BY_CLASS, SEVERAL, SKEWED, Cell, Cohort, cells, draw, truth
from benchmarks.timing import table
from functions.evaluation import evaluate, scores
from functions.evaluation.auroc import auroc_interval
from functions.evaluation.comparison import paired
from functions.evaluation.patients import scored_classes

ORDER, HEALTHY, PERMUTATIONS = [0, 1, 2], 0, 199
SCORES = ("accuracy", "balanced_accuracy", "brier", "sensitivity", "rarest class", "specificity", "class AUROC",
          "auroc", "auroc_disease", "slice accuracy")
DIFFERENCES = ("accuracy", "balanced_accuracy", "brier", "auroc", "auroc_disease")
HONEST = {0.90: 1.45, 0.95: 1.85}      # AUROC of diseased or not → signal, equal classes (found by bisection)
BETTER, RIVAL = 2.5, 0.5               # signals of two networks that differ
ERROR = "± its Monte-Carlo standard error"
LEAST = 0.1                            # of the cohorts must have an interval for a share to be shown


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
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = [f"`{command}`, commit {facts['commit']}, {versions}; {cohorts:,} cohorts a cell."]
    for part in tables(cohorts, 30 if options.quick else 1000):
        text.append(part)
        options.out.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    print("\n\n".join(text))


def tables(cohorts: int, seeds: int) -> Iterator[str]:
    """Each table under its heading, as soon as it is finished."""
    unchecked = partial(sklearn.set_config, assume_finite=True, skip_parameter_validation=True)       # faster
    with ProcessPoolExecutor(initializer=unchecked) as pool:
        for signal in (1.0, 1.8):
            value, each = truth("equal", "8 each", signal)["auroc_disease"], cells(signal)
            found = pool.map(partial(covered, cohorts=cohorts), each)
            yield (f"**Coverage of the 95 % intervals, in % of cohorts**, {ERROR}; AUROC of diseased or not about "
                   f"{value:.2f}; -: an interval in fewer than a tenth of the cohorts:\n\n"
                   f"{grid(each, found, SCORES, cohorts)}")
        each = [cell for cell in cells(1.0) if cell.slices not in (SKEWED, BY_CLASS)]
        found = pool.map(partial(differing, cohorts=cohorts), each)
        yield ("**Cohorts (in %) in which two equally good networks differ** (95 % interval without 0; should be "
               f"5), {ERROR}:\n\n{grid(each, found, DIFFERENCES, cohorts)}")
        each = [cell for cell in cells(BETTER) if cell.slices not in (SKEWED, BY_CLASS, SEVERAL)]
        values = [truth("equal", "8 each", signal)["auroc_disease"] for signal in (BETTER, RIVAL)]
        found = pool.map(partial(unequal, cohorts=cohorts), each)
        yield ("**Coverage of the 95 % intervals of differences, in % of cohorts**, networks that differ (AUROC of "
               f"diseased or not about {values[0]:.2f} and {values[1]:.2f}), {ERROR}:\n\n"
               f"{grid(each, found, DIFFERENCES, cohorts)}")
        found = pool.map(partial(false_alarms, cohorts=cohorts), ALARMS)
        rows = [row for rows in found for row in rows]
        yield (f"**p-values and verdicts**, {ERROR}:\n\n"
               f"{table(['cohorts', 'of them (in %)', 'found', 'should be'], rows)}")
    yield f"**Splits:**\n\n{splits(seeds)}"


def share(found: list[tuple[int, bool]]) -> str:
    """"95.2 ± 0.9", in %, of (cohort, yes or no): what a cohort has several of (a class's scores) is one observation.

    The standard error is that of a ratio over cohorts, at least that of half a cohort: √Σ(yes_c - share · n_c)² / n.
    """
    cohort, yes = (np.array(part) for part in zip(*found, strict=True))
    _, cohort = np.unique(cohort, return_inverse=True)
    each, hits = np.bincount(cohort), np.bincount(cohort, yes)
    mean = hits.sum() / each.sum()
    error = np.sqrt(max(np.square(hits - mean * each).sum(), 0.25)) / each.sum()
    return f"{100 * mean:.1f} ± {100 * error:.1f}"


def grid(which: list[Cell], counts, names: tuple[str, ...], cohorts: int) -> str:
    """A table of the shares per cell."""
    rows = []
    for cell, found in zip(which, counts, strict=True):
        given = {name: len({cohort for cohort, _ in found[name]}) for name in names}
        rows.append([*cell.words, *(share(found[name]) if given[name] >= LEAST * cohorts else "-" for name in names)])
    return table(["classes", "patients", "slices", *(name.replace("_", " ") for name in names)], rows)


def _generator(table: int, cell: Cell) -> np.random.Generator:
    """An independent random generator for each cell of each table."""
    return np.random.default_rng([table, crc32(" ".join([*cell.words, str(cell.signal)]).encode())])


def covered(cell: Cell, cohorts: int) -> dict[str, list[tuple[int, bool]]]:
    """score → (cohort, whether the interval covers the true value), for class scores once per class.

    "rarest class": the sensitivity of the scored class of fewest patients.
    """
    generator, known = _generator(1, cell), truth(cell.prevalence, cell.slices, cell.signal)
    found = {name: [] for name in SCORES}

    def note(number: int, name: str, low: float, high: float, target: float) -> None:
        if np.isfinite(low) and np.isfinite(high):
            found[name].append((number, bool(low <= target <= high)))

    for number in range(cohorts):
        [cohort] = draw(cell, generator)
        classes = scored_classes(cohort.y, cohort.who)
        spans = scores.score_intervals(cohort.p, cohort.y, cohort.who, HEALTHY, classes)
        targets = {"accuracy": known["accuracy"], "brier": known["brier"], "auroc_disease": known["auroc_disease"]}
        if classes:
            targets |= {"balanced_accuracy": known["sensitivity"][classes].mean(),
                        "auroc": known["auroc"][classes].mean()}
        for name, span in spans.items():
            if name in targets:
                note(number, name, *span, targets[name])
        rows = evaluate.by_class(cohort.p, cohort.y, cohort.who, "abc")
        scored = [k for k, row in enumerate(rows) if row.sensitivity]
        for k in scored:
            for what in ("sensitivity", "specificity", "auroc"):
                score = getattr(rows[k], what)
                note(number, "class AUROC" if what == "auroc" else what, score.low, score.high, known[what][k])
        for k in sorted(scored, key=lambda k: (rows[k].patients, -k))[:1]:
            one = rows[k].sensitivity
            note(number, "rarest class", one.low, one.high, known["sensitivity"][k])
        span = scores.slice_intervals(cohort.q, cohort.labels, cohort.owner)
        note(number, "slice accuracy", *span["accuracy"], known["slice accuracy"])
    return found


def differing(cell: Cell, cohorts: int) -> dict[str, list[tuple[int, bool]]]:
    """score → (cohort, whether the interval of the difference of two equally good networks left 0 out)."""
    generator, found = _generator(2, cell), {name: [] for name in DIFFERENCES}
    for number in range(cohorts):
        first, second = draw(cell, generator, (cell.signal, cell.signal))
        for name, row in paired(first.p, second.p, first.y, first.who, HEALTHY).items():
            if name in found and np.isfinite(row.low):
                found[name].append((number, bool(row.low > 0 or row.high < 0)))
    return found


def unequal(cell: Cell, cohorts: int) -> dict[str, list[tuple[int, bool]]]:
    """score → (cohort, whether the interval of a difference held the truth), the other network of signal RIVAL."""
    generator, found = _generator(4, cell), {name: [] for name in DIFFERENCES}
    ours, theirs = (truth(cell.prevalence, cell.slices, signal) for signal in (cell.signal, RIVAL))
    for number in range(cohorts):
        first, second = draw(cell, generator, (cell.signal, RIVAL))
        classes = scored_classes(first.y, first.who)
        for name, row in paired(first.p, second.p, first.y, first.who, HEALTHY).items():
            if name in found and np.isfinite(row.low):
                of = "sensitivity" if name == "balanced_accuracy" else name
                gap = ours[of] - theirs[of]
                gap = gap[classes].mean() if np.ndim(gap) else gap
                found[name].append((number, bool(row.low <= gap <= row.high)))
    return found


def false_alarms(part: str, cohorts: int) -> list[list[str]]:
    """Rows of the table of p-values and verdicts, of a part in ALARMS."""
    prevalence, patients, slices, signal = ALARMS[part]
    cell = Cell(prevalence, patients, slices, signal)
    generator = _generator(3, cell)
    judged = [_judge(*draw(cell, generator), number) for number in range(cohorts)]
    of = f"{patients} patients, classes {prevalence}, slices {slices}"
    if signal:
        value = truth(prevalence, slices, signal)["auroc_disease"]
        found = share([(number, score["verdict"] == evaluate.TOO_GOOD) for number, score in enumerate(judged)])
        if auroc_interval(1.0, patients // 2, patients - patients // 2)[0] <= evaluate.TOO_GOOD_AUROC:
            found = "cannot occur"
        return [[f"{part}: {of}, true AUROC {value:.3f}", f'verdict "{evaluate.TOO_GOOD}"', found, "5 or less"]]
    defined = [(number, score["p"] < 0.05) for number, score in enumerate(judged) if np.isfinite(score["p"])]
    better = [(number, score["verdict"].startswith("better")) for number, score in enumerate(judged)]
    judgements = {score["verdict"] for score in judged}
    found = "no verdict is given" if judgements <= {evaluate.NO_VERDICT, "not scored"} else share(better)
    return [[f"{part}: {of}", "p < 0.05", share(defined), "5 or less"],
            [f"{part}: {of}", 'verdict "better"', found, "5 or less"]]


ALARMS = {      # name → prevalence, patients, slices, signal
    "no signal": ("equal", 24, "8 each", 0.0),
    "no signal, unequal": ("80/15/5", 40, "1 to 60", 0.0),
    "no signal, several labels": ("equal", 24, SEVERAL, 0.0),
    "no signal, slices by class": ("80/15/5", 40, BY_CLASS, 0.0),
    **{f"a true AUROC of {value:.2f}": ("equal", 32, "8 each", signal) for value, signal in HONEST.items()},
}


def _judge(cohort: Cohort, number: int) -> dict:
    return evaluate.evaluate_patients(cohort.p, cohort.y, cohort.who, ORDER, 0, HEALTHY, PERMUTATIONS,
                                        number)["auroc_disease"]


def splits(seeds: int) -> str:
    """How often each of 60 patients of distinct numbers of slices (1 to 60) is in the test set, over seeds; and where
    one of them, and no other, has slices of two classes.
    """
    from data_setup.splits.split import hold_out

    size = np.random.default_rng(0).permutation(60) + 1
    subjects = np.repeat([f"sub-{person:02d}" for person in range(60)], size)
    classes = np.repeat(np.array(["a"] * 30 + ["b"] * 22 + ["c"] * 8), size)
    odd = classes.copy()
    odd[np.flatnonzero(subjects == "sub-07")[::2]] = "b"
    rows, expected = [], f"{seeds / 5:.0f} ± {np.sqrt(seeds * 0.16):.0f}"
    for words, labels in (("one class each", classes), ("one patient of two classes", odd)):
        held = [np.unique(subjects[hold_out(labels, subjects, 0.2, seed)]) for seed in range(seeds)]
        tests = times_drawn(np.concatenate(held), [f"sub-{person:02d}" for person in range(60)])
        rows.append([words, str(seeds), str(len({tuple(people) for people in held})), str((tests == 0).sum()),
                     f"{tests.min()}, {tests.mean():.0f}, {tests.max()}", str(tests[7]),
                     f"{tests.std(ddof=1):.1f} ± {tests.std(ddof=1) / np.sqrt(2 * 59):.1f}", expected])
    return table(["60 patients", "seeds", "different test sets", "patients never tested",
                  "times in test set: min, mean, max", "of the patient who has two classes in the second row",
                  "SD of a patient's tests ± standard error", "expected if all are equally likely ± SD"], rows)


def times_drawn(drawn: np.ndarray, people: list[str]) -> np.ndarray:
    """How often each of `people` was drawn."""
    names, counts = np.unique(drawn, return_counts=True)
    return np.array([dict(zip(names, counts, strict=True)).get(person, 0) for person in people])


if __name__ == "__main__":
    main(sys.argv[1:])
