"""Means of scores over runs that differ only in their seed."""

from collections.abc import Sequence

import numpy as np

from functions.evaluation.evaluation import Evaluation
from functions.evaluation.intervals import FEW

OVER_CLASSES = {"balanced_accuracy", "macro_f1", "auroc"}      # means over the scored classes of a run
NO_MEAN = f"no mean over runs with different scored classes (those of {FEW} test patients or more)"


def scored_names(evaluation: Evaluation) -> frozenset[str]:
    """The scored classes: those with at least FEW patients (or slices, if the patients are unknown)."""
    return frozenset(row.name for row in evaluation.first.classes if row.patients >= FEW)


def spread(name: str, values: Sequence[float], classes: Sequence[frozenset[str]], constant: bool = False) -> str:
    """"mean ± SD" over the runs that have the score `name`, with "(2 of 3)" if not all do; "-" if none does.

    `classes` are the scored classes of each run. A score in OVER_CLASSES has no mean ("-" and the reason) unless they
    are the same in all runs. `constant`: an SD of 0.000 is omitted.
    """
    known = [(value, of) for value, of in zip(values, classes, strict=True) if value == value]
    if not known:
        return "-"
    sets = {of for _, of in known}
    if name in OVER_CLASSES and len(sets) > 1:
        sizes = sorted({len(of) for of in sets})
        return f"- ({' or '.join(map(str, sizes))} classes)" if len(sizes) > 1 else "- (not the same classes)"
    text = f"{np.mean([value for value, _ in known]):.3f}"
    if len(known) > 1:
        deviation = f"{np.std([value for value, _ in known], ddof=1):.3f}"
        text += f" ± {deviation}" if not (constant and deviation == "0.000") else ""
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"
