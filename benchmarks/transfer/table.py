"""The table of all finished rows: AUROC of diseased-or-not, balanced accuracy, differences from four numbers, cost."""

from pathlib import Path

import numpy as np

from benchmarks.timing import table
from benchmarks.transfer.cohort import Cohort, Results
from functions.cross_validation.pooled import (
    corrected_t,
    fold_differences,
    paired_auroc,
    pooled_auroc,
    pooled_balanced_accuracy,
)

HEAD = ("row", "repeats", "AUROC", "SD between repeats", "minus four numbers, over patients", "p",
        "within folds, corrected t", "balanced accuracy", "sum with four numbers",
        "sum minus four numbers", "s per fold")


def write_table(out: Path, cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it."""
    rows, base = [], Results(out, "four_numbers", cohort)
    reference, folds = base.complete(), cohort.patient_folds()
    positive = base.labels != cohort.healthy
    for file in sorted(out.glob("*.csv")):
        results = Results(out, file.stem, cohort)
        p = results.complete()
        if len(p):
            rows.append(one_row(file.stem, p, results, reference, positive, folds, cohort))
    text = table(HEAD, rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text


def one_row(name: str, p: np.ndarray, results: Results, reference: np.ndarray, positive: np.ndarray, folds: np.ndarray,
            cohort: Cohort) -> list[str]:
    """One row of HEAD."""
    score = 1 - p[:, :, cohort.healthy]
    auroc = pooled_auroc(score, positive)
    right = pooled_balanced_accuracy(p.argmax(axis=2), results.labels, results.ids)
    gap, chance, within, both, gain = "", "", "", "", ""
    if name != "four_numbers" and len(reference):
        other = 1 - reference[:, :, cohort.healthy]
        found = paired_auroc(score, other, positive)
        gap, chance = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", f"{found.p:.3f}"
        count = min(len(score), len(other), len(folds))      # more repeats may be on disk than were asked for
        fold = corrected_t(fold_differences(score[:count], other[:count], positive, folds[:count]), cohort.num_folds)
        within = f"{fold.value:+.3f} [{fold.low:+.3f}, {fold.high:+.3f}]"
        total = log_odds(score[:count]) + log_odds(other[:count])
        both, more = f"{pooled_auroc(total, positive).value:.3f}", paired_auroc(total, other[:count], positive)
        gain = f"{more.value:+.3f} [{more.low:+.3f}, {more.high:+.3f}]"
    seconds = results.rows.groupby(["repeat", "fold"])["seconds"].first().median()
    return [name, str(len(p)), f"{auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]", f"{auroc.sd:.3f}", gap, chance,
            within, f"{right.value:.3f} [{right.low:.3f}, {right.high:.3f}]", both, gain, f"{seconds:.1f}"]


def log_odds(p: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), at most ±13.8: the sum of two networks' log-odds is fitted to nothing."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))
