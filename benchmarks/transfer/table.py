"""The table of all finished rows: AUROC of diseased-or-not, balanced accuracy, differences from four numbers, cost."""

from pathlib import Path

import numpy as np

from benchmarks.timing import table
from benchmarks.transfer.cohort import Cohort, Results
from functions.cross_validation.out_of_fold import OutOfFold, differences, scores
from functions.cross_validation.pooled import Pooled, paired_auroc, pooled_auroc
from functions.evaluation.evaluation import Difference

HEAD = ("row", "repeats", "AUROC", "SD between repeats", "minus four numbers, over patients", "p",
        "within folds, corrected t", "balanced accuracy", "sum with four numbers",
        "sum minus four numbers", "s per fold")


def write_table(out: Path, cohort: Cohort) -> str:
    """Writes OUT/table.md and returns it."""
    rows, base = [], Results(out, "four_numbers", cohort).complete()
    for file in sorted(out.glob("*.csv")):
        results = Results(out, file.stem, cohort)
        if len((found := results.complete()).folds):
            seconds = results.rows.groupby(["repeat", "fold"])["seconds"].first().median()
            rows.append(one_row(file.stem, found, base if len(base.folds) else None, seconds))
    text = table(HEAD, rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")
    return text


def one_row(name: str, found: OutOfFold, base: OutOfFold | None, seconds: float) -> list[str]:
    """One row of HEAD; `base` are the predictions from four numbers."""
    own = scores(found)
    auroc, right = own["auroc_disease"], own["balanced_accuracy"]
    gap, chance, within, both, gain = "", "", "", "", ""
    if name != "four_numbers" and base:
        gaps = differences(found, base)
        gap, chance = signed(gaps["over patients"]), f"{gaps['over patients'].p:.3f}"
        within = signed(gaps["within folds"])
        (score, positive), (other, _) = found.asked(), base.asked()
        count = min(len(score), len(other))
        total = log_odds(score[:count]) + log_odds(other[:count])
        both = f"{pooled_auroc(total, positive).value:.3f}"
        gain = signed(paired_auroc(total, other[:count], positive))
    return [name, str(len(found.folds)), interval(auroc), f"{auroc.sd:.3f}",
            gap, chance, within, interval(right), both, gain, f"{seconds:.1f}"]


def interval(found: Pooled) -> str:
    """A score with its interval."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def signed(found: Difference) -> str:
    """A difference with its interval."""
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def log_odds(p: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), at most ±13.8: the sum of two networks' log-odds is fitted to nothing."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))
