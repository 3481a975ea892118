"""The results of a cross-validation as text, Markdown table, metrics.json and page."""

from dataclasses import asdict
from pathlib import Path

from functions.checkpointing.run_folder import provenance
from functions.cross_validation.out_of_fold import OutOfFold, differences, scores, within_folds
from functions.evaluation.scores import SCORE_NAMES
from functions.reports.html_page import Table, render
from functions.runtime.atomic_files import write_json, write_text

HEAD = ("model", "score", "mean over repeats [95 % interval over patients]", "SD between repeats")
EXPLAINED = (
    "Every patient is tested once in each repeat, by a network that was not trained on it; a score is that of all "
    "patients together, averaged over the repeats.",
    "Intervals are over patients: more repeats do not make them narrower. They take the trained networks as fixed.",
    "'Within folds' compares the models in each fold with the corrected resampled t-test (Nadeau and Bengio 2003), "
    "which includes that another training set gives another network.",
    "p over patients is DeLong's, and the interval is by another method, which covers better where patients are few: p "
    "below 0.05 and an interval without 0 need not agree. The interval decides.",
    "AUROC within a fold compares patients that one network has scored; the AUROC of all patients together also "
    "compares those of different networks, and is lower if these differ in level.",
)


def rows(models: dict[str, OutOfFold]) -> list[list[str]]:
    """One row of HEAD for each model and score."""
    found_rows = []
    for model, found in models.items():
        found_rows += [[model, SCORE_NAMES[name], _interval(score.value, score.low, score.high),
                        f"{score.sd:.3f}" if score.sd == score.sd else "-"]
                       for name, score in scores(found).items()]
        if len(each := within_folds(found)) > 1:
            found_rows.append([model, "AUROC within a fold", f"{each.mean():.3f}, SD of {len(each)} folds "
                               f"{each.std(ddof=1):.3f}", "-"])
    return found_rows


def difference_lines(models: dict[str, OutOfFold]) -> list[str]:
    """The first model's AUROC minus that of each other."""
    (name, first), *others = models.items()
    return [f"AUROC of {name} minus {other}, {how}: {gap.value:+.3f} [{gap.low:+.3f} to {gap.high:+.3f}], "
            f"p = {gap.p:.3f}"
            for other, found in others for how, gap in differences(first, found).items()]


def lines(models: dict[str, OutOfFold], notes: list[str]) -> list[str]:
    """What the console shows."""
    found = next(iter(models.values()))
    repeats, patients = found.probabilities.shape[:2]
    width = max(len(model) for model in models)
    head = f"{patients} patients, each tested once in each of {repeats} repeat(s) of {found.num_folds} folds"
    table = [f"{model:{width}}  {score:32} {value}   SD between repeats {sd}"
             for model, score, value, sd in rows(models)]
    return [head, *table, *difference_lines(models), *notes]


def write(out: Path, models: dict[str, OutOfFold], notes: list[str], caveats: list[str], facts: dict) -> None:
    """OUT/metrics.json and OUT/report.html; `facts` say how the folds and networks were made."""
    numbers = {model: {name: score._asdict() for name, score in scores(found).items()}
               for model, found in models.items()}
    (name, first), *others = models.items()
    each = {model: {"mean": float(values.mean()), "sd": float(values.std(ddof=1)), "folds": len(values)}
            for model, found in models.items() if len(values := within_folds(found)) > 1}
    gaps = {other: {how: asdict(gap) for how, gap in differences(first, found).items()} for other, found in others}
    write_json(out / "metrics.json", {"cross_validation": facts, "scores": numbers, "within_folds": each,
                                      "differences": {name: gaps},
                                      "caveats": caveats, "notes": notes} | provenance())
    per_fold = Table(("repeat", "fold", "patients"), _fold_sizes(first))
    page = render("cross_validation.html.j2", f"Cross-validation {out.name}", caveats, facts=Table(
        ("setting", "value"), [[key, str(value)] for key, value in facts.items()], pairs=True),
        scores=Table(HEAD, rows(models)), differences=difference_lines(models), notes=notes, explained=EXPLAINED,
        folds=per_fold)
    write_text(out / "report.html", page)


def _fold_sizes(found: OutOfFold) -> list[list[str]]:
    return [[str(repeat + 1), str(fold + 1), str(int((folds == fold).sum()))]
            for repeat, folds in enumerate(found.folds) for fold in range(found.num_folds)]


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f} to {high:.3f}]" if low == low else f"{value:.3f} (no interval)"
