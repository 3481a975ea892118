"""The results of a comparison as table.md, table.csv, metrics.json, learning_curves.png and report.html."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from functions.checkpointing.run_folder import provenance
from functions.cross_validation.out_of_fold import scores, within_folds
from functions.cross_validation.pooled import Pooled
from functions.learning_curves.cells import Curve
from functions.learning_curves.figure import plot_learning_curves
from functions.learning_curves.methods import METHODS, OPPONENTS, size_name
from functions.learning_curves.verdicts import Curves, compare, describe, questions, sentence
from functions.reports.html_page import Table, picture, render, write_png
from functions.reports.markdown_text import row
from functions.runtime.atomic_files import write_json, write_text

LEVELS = 0.05       # of AUROC: how far the scores of all patients may lie below those within folds without a note
HEAD = ("method", "patients", "AUROC [95 % interval]", "AUROC within folds, mean ± SD",
        "balanced accuracy [95 % interval]", *(f"AUROC minus {METHODS[name].title}" for name in OPPONENTS), "s per fit",
        "CPU s per fit", "images per fit")
EXPLAINED = (
    "Every patient is tested once per repeat for each number of training patients, by a model that was not trained on "
    "this patient. All methods have the same training patients; those of a smaller number are among those of a larger.",
    "Intervals are over patients and take the trained models as fixed. Other training patients would give another "
    "model: the differences within folds (metrics.json), by the corrected resampled t-test, include this.",
    "AUROC is of all patients together, tested by the models of different folds. A model whose probabilities lie at "
    "another level than those of the other folds lowers it, even if it ranks its own patients well: the mean AUROC "
    "within folds does not see such levels.",
    "Settings and numbers of steps are fixed in advance; nothing is selected, and the weights of the last step are "
    "scored.",
)


def lines(curves: Curves, notes: Sequence[str]) -> list[str]:
    """The answers in words, and the notes."""
    found = questions(curves)
    count = sum(map(len, found))
    chance = f"{count} intervals: about one in twenty excludes 0 by chance alone." if count else (
        "no Vision Transformer and no opponent of it are both complete: nothing to compare")
    return [*map(sentence, found), chance, *_levels(curves), *notes]


def _levels(curves: Curves) -> list[str]:
    """A line for each method that ranks patients better within folds than all together."""
    found: dict[str, list[str]] = {}
    for (method, size), curve in curves.items():
        inside, together = within_folds(curve.found), _area(scores(curve.found))
        if together and len(inside) and inside.mean() - together.value > LEVELS:
            found.setdefault(method, []).append(f"{size_name(size)} ({together.value:.3f}, {inside.mean():.3f})")
    return [f"CHECK: AUROC of {METHODS[method].title} is lower for all patients together than on average within folds, "
            f"with {', '.join(sizes)} patients: probabilities of different folds' models lie at different levels, and "
            "the intervals above compare levels as well as ranks" for method, sizes in found.items()]


def _area(found: dict[str, Pooled]) -> Pooled | None:
    return next((score for name, score in found.items() if name.startswith("auroc")), None)


def table_rows(curves: Curves) -> list[list[str]]:
    """One row of HEAD for each method and number of patients."""
    gaps = {(found.first, found.second, found.size): found.over_patients
            for method in dict.fromkeys(name for name, _ in curves) for opponent in OPPONENTS if opponent != method
            for found in compare(curves, method, opponent)}
    rows = []
    for (method, size), curve in curves.items():
        against = [gaps.get((method, name, size)) for name in OPPONENTS]
        rows.append([METHODS[method].title, _patients(curve), *_scores(curve),
                     *(describe(gap) if gap else "" for gap in against), f"{curve.seconds:.1f}",
                     f"{curve.cpu_seconds:.1f}", f"{curve.images:,}"])
    return rows


def table_lines(curves: Curves) -> list[str]:
    """`table_rows` as a Markdown table."""
    return [row(list(HEAD)), "|" + "---|" * len(HEAD),
            *(row(line) for line in table_rows(curves))]


def write(out: Path, curves: Curves, notes: Sequence[str], caveats: Sequence[str], facts: dict[str, Any]) -> None:
    """Writes all files into the folder `out`."""
    rows, text = table_rows(curves), lines(curves, notes)
    write_text(out / "table.md", "\n".join(table_lines(curves)) + "\n")
    write_text(out / "table.csv", pd.DataFrame(map(_numbers, curves.values())).to_csv(index=False))
    every = [found._asdict() | {name: asdict(getattr(found, name)) for name in ("over_patients", "within_folds")}
             for group in questions(curves) for found in group]
    write_json(out / "metrics.json", {"learning_curves": facts, "points": list(map(_numbers, curves.values())),
                                      "differences": every, "answers": text, "caveats": list(caveats)} | provenance())
    figure = plot_learning_curves(curves, "; ".join(caveats))
    write_png(out / "learning_curves.png", figure)
    pictures = [picture(figure, "AUROC of patients against the number of training patients")]
    page = render("learning_curves.html.j2", f"Comparison {out.name}", caveats, answers=text, pictures=pictures,
                  table=Table(HEAD, rows), explained=EXPLAINED, facts=Table(
                      ("setting", "value"), [[key, str(value)] for key, value in facts.items()], pairs=True))
    write_text(out / "report.html", page)


def _patients(curve: Curve) -> str:
    return f"{curve.patients:.0f}" + (" (all)" if size_name(curve.size) == "all" else "")


def _scores(curve: Curve) -> list[str]:
    """AUROC and balanced accuracy with their intervals, AUROC within folds; "" where there is none."""
    found, inside = scores(curve.found), within_folds(curve.found)
    within = f"{inside.mean():.3f} ± {inside.std(ddof=1):.3f}" if len(inside) > 1 else ""
    return [_interval(_area(found)), within, _interval(found.get("balanced_accuracy"))]


def _interval(score: Pooled | None) -> str:
    return f"{score.value:.3f} [{score.low:.3f} to {score.high:.3f}]" if score else ""


def _numbers(curve: Curve) -> dict[str, Any]:
    """A row of table.csv."""
    found = {f"{name}{end}": value for name, score in scores(curve.found).items()
             for end, value in zip(("", "_low", "_high", "_sd_between_repeats"), score, strict=True)}
    inside = within_folds(curve.found)
    found["auroc_within_folds"] = float(inside.mean()) if len(inside) else float("nan")
    return {"method": curve.method, "size": size_name(curve.size), "patients": curve.patients,
            "seconds_per_fit": curve.seconds, "cpu_seconds_per_fit": curve.cpu_seconds,
            "images_per_fit": curve.images} | found
