"""Means of scores over runs that differ in their seed alone, and why there is none."""

from collections.abc import Mapping, Sequence

import numpy as np

from functions.evaluation.intervals import FEW

OVER_CLASSES = {"balanced_accuracy", "macro_f1", "auroc"}      # means over the classes that a run can score
NO_MEAN = f"no mean of runs that do not score the same classes (those of {FEW} test patients or more)"


def scored_names(counts: Mapping[str, int]) -> frozenset[str]:
    """The classes that are scored, from the patients (where they are unknown: slices) of each."""
    return frozenset(name for name, count in counts.items() if count >= FEW)


def spread(name: str, values: Sequence[float | None], classes: Sequence[frozenset[str]], constant: bool = False) -> str:
    """"mean ± SD" of the runs that have the score `name`, "(2 of 3)" where not all do; "-" where none has.

    `classes`: which each run scores. Of a score in OVER_CLASSES the mean is "-", and why, unless they are the same in
    all. `constant`: an SD that is 0.000 is left out.
    """
    known = [(value, of) for value, of in zip(values, classes, strict=True) if value is not None and value == value]
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
