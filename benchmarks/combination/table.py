"""Each row and each sum beside four numbers: AUROC of demented or not, difference over patients and within folds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.timing import table
from benchmarks.transfer.cohort import Cohort, Results
from benchmarks.transfer.table import interval, log_odds, signed
from functions.cross_validation.pooled import corrected_t, fold_differences, paired_auroc, pooled_auroc

HEAD = ("score", "AUROC", "SD between repeats", "minus four numbers, over patients", "within folds, corrected t")


def write_table(out: Path, rows: Sequence[str], sums: Sequence[Sequence[str]], cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it."""
    scores = {}
    for name in rows:
        found = Results(out, name, cohort).complete()
        score, positive = found.asked()
        scores[name] = log_odds(score)
    base = scores["four_numbers"]
    scores |= {" + ".join(parts): np.sum([scores[part] for part in parts], axis=0) for parts in sums}
    lines = []
    for name, score in scores.items():
        own = pooled_auroc(score, positive)
        gaps = ["", ""] if name == "four_numbers" else [
            signed(paired_auroc(score, base, positive)),
            signed(corrected_t(fold_differences(score, base, positive, found.folds), found.num_folds))]
        lines.append([name, interval(own), f"{own.sd:.3f}", *gaps])
    text = table(HEAD, lines)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text
