"""Whether one method is shown to be better than another at each number of training patients."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from functions.cross_validation.out_of_fold import differences
from functions.evaluation.evaluation import Difference
from functions.learning_curves.cells import Curve
from functions.learning_curves.methods import METHODS, OPPONENTS, QUESTIONED, size_name

Curves = Mapping[tuple[str, int], Curve]           # (method, size) → curve
VERDICTS = ("shown to be better", "shown to be worse", "not shown to be better or worse")


class Comparison(NamedTuple):
    """AUROC of `first` minus that of `second` with `size` training patients: over patients, and within folds."""

    first: str
    second: str
    size: int
    over_patients: Difference
    within_folds: Difference

    @property
    def verdict(self) -> str:
        """One of VERDICTS, by the interval over patients; identical rankings have no interval."""
        gap = self.over_patients
        return VERDICTS[0] if gap.low > 0 else VERDICTS[1] if gap.high < 0 else VERDICTS[2]


def compare(curves: Curves, first: str, second: str) -> list[Comparison]:
    """One comparison for each number of patients that both methods have."""
    found = []
    for method, size in curves:
        if method == first and (second, size) in curves:
            gaps = differences(curves[first, size].found, curves[second, size].found)
            if gaps:
                found.append(Comparison(first, second, size, gaps["over patients"], gaps["within folds"]))
    return found


def questions(curves: Curves) -> list[list[Comparison]]:
    """The comparisons of every Vision Transformer of QUESTIONED with each of OPPONENTS, as far as they are there."""
    pairs = [(first, second) for first in QUESTIONED for second in OPPONENTS]
    return [found for pair in pairs if (found := compare(curves, *pair))]


def sentence(comparisons: Sequence[Comparison]) -> str:
    """What the comparisons of two methods show, in words, each with its interval."""
    one = comparisons[0]
    parts = []
    for verdict in VERDICTS:
        if same := [f"{size_name(found.size)} ({describe(found.over_patients)})" for found in comparisons
                    if found.verdict == verdict]:
            listed = " and ".join([", ".join(same[:-1]), same[-1]] if len(same) > 1 else same)
            parts.append(f"{verdict} with {listed} patients")
    return (f"AUROC of {METHODS[one.first].title} against {METHODS[one.second].title}: {'; '.join(parts)}.")


def describe(gap: Difference) -> str:
    """"-0.041 [-0.080 to -0.002]"."""
    interval = f" [{gap.low:+.3f} to {gap.high:+.3f}]" if gap.low == gap.low else ", the same ranking"
    return f"{gap.value:+.3f}{interval}"
