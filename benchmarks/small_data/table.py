"""Each row beside the plain network and beside four numbers: AUROC of demented or not, together and within folds."""

from pathlib import Path

import numpy as np

from benchmarks.timing import table
from benchmarks.transfer.cohort import Cohort, Results
from benchmarks.transfer.table import interval, signed
from functions.cross_validation.out_of_fold import differences, scores
from functions.cross_validation.pooled import fold_aurocs

OPPONENTS = {"scratch": "scratch", "four numbers": "four_numbers"}
HEAD = ("row", "repeats", "AUROC", "mean within folds", "balanced accuracy",
        *(f"minus {name}, {how}" for name in OPPONENTS for how in ("over patients", "within folds, corrected t")),
        "s per fold")


def write_table(out: Path, rows: list[str], cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it; rows with no complete repeat are left out."""
    results = {name: Results(out, name, cohort) for name in ["four_numbers", *rows]}
    found = {name: one.complete() for name, one in results.items()}
    lines = []
    for name, one in found.items():
        if not len(one.folds):
            print(f"{name}: no repeat is complete, left out of the table")
            continue
        own, (score, positive) = scores(one), one.asked()
        gaps = []
        for other in OPPONENTS.values():
            gap = (differences(one, found[other]) if other != name and other in found and len(found[other].folds)
                   else {})
            gaps += [signed(gap[key]) if key in gap else "" for key in ("over patients", "within folds")]
        inside = np.nanmean(fold_aurocs(score, positive, one.folds))
        auroc, right = own["auroc_disease"], own["balanced_accuracy"]
        seconds = results[name].rows.groupby(["repeat", "fold"])["seconds"].first().median()
        lines.append([name, str(len(one.folds)), interval(auroc),
                      f"{inside:.3f}", interval(right), *gaps,
                      f"{seconds:.1f}"])
    text = table(HEAD, lines)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text
