"""The files of an evaluation: predictions.csv, metrics.json, figures and report.html."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from functions.checkpointing.run_folder import provenance, write_table
from functions.evaluation.evaluation import Evaluation, Metrics
from functions.evaluation.predictions import Predictions
from functions.reports.clinical import confounding_text
from functions.reports.clinical import text as clinical_text
from functions.reports.clinical.confounding_figure import confounding_figures
from functions.reports.clinical.figures import clinical_figures
from functions.reports.evaluation_plots import Figures, main_figures, more_figures
from functions.reports.evaluation_text import EvaluationContent, evaluation_content
from functions.reports.html_page import picture, render, thumbnails, write_png
from functions.reports.run_report import write_report
from functions.runtime.atomic_files import write_json, write_text
from functions.runtime.errors import UserError

SEEN = "PATIENTS SEEN IN TRAINING"
UNKNOWN_TRAINING = "TRAINING PATIENTS UNKNOWN"
MAX_ERRORS = 12           # maximum number of thumbnails of errors


def training_caveats(seen: tuple[int, int] | None, slices: int, file: Path, allowed: bool) -> list[str]:
    """The caveat if a checkpoint's `file` was trained on patients among `slices`; UserError unless that is `allowed`.

    `seen`: (slices of training patients by id, copies of training slices by pixels); None: the training is unknown.
    """
    if seen is None:
        return [UNKNOWN_TRAINING]
    if any(seen) and not allowed:
        raise UserError(f"{seen[0]} of {slices} slices are of patients (by id), and {seen[1]} are copies of slices (by "
                        f"pixels), that {file} was trained on: give slices of other patients, or --allow_seen, which "
                        "adds a caveat to the result")
    return [SEEN] if any(seen) else []


def page_content(evaluation: Evaluation, predictions: Predictions, main: Figures, more: Figures,
                 read: Callable[[str], np.ndarray]) -> EvaluationContent:
    """All that a page shows of an evaluation; `read(path)` returns a gray image."""
    heading, worst = _worst_errors(predictions, read)
    content = evaluation_content(evaluation, [picture(*drawn) for drawn in main.values()], errors=heading,
                              more_figures=[picture(*drawn) for drawn in more.values()], worst=thumbnails(worst))
    if evaluation.clinical:
        content = replace(content, tables=[*content.tables, *clinical_text.tables(evaluation.clinical)],
                          notes=[*content.notes, *clinical_text.notes(evaluation.clinical)])
    if evaluation.confounding:
        notes = confounding_text.notes(evaluation.confounding)
        checks = [note for note in notes if note.startswith("CHECK: ")]
        content = replace(content, tables=[*content.tables, *confounding_text.tables(evaluation.confounding)],
                          checks=checks, notes=[*content.notes, *(note for note in notes if note not in checks)])
    return content


def _worst_errors(predictions: Predictions, read: Callable[[str], np.ndarray]) -> tuple[str, list]:
    """(heading, [(image, caption)]): the misclassified slices with the lowest probability of the true class."""
    p, y, names = predictions.probabilities, predictions.labels, predictions.class_names
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    wrong = wrong[np.argsort(p[wrong, y[wrong]])]
    worst = wrong[np.sort(np.unique(predictions.subjects[wrong], return_index=True)[1])][:MAX_ERRORS]
    return (f"Worst errors, one per patient ({len(wrong):,} of {len(p):,} slices are misclassified)",
            [(read(predictions.paths[row]), f"{names[y[row]]} predicted as {names[p[row].argmax()]} "
              f"({p[row].max():.0%}), {predictions.subjects[row]}") for row in worst])


def write(out: Path, evaluation: Evaluation, predictions: Predictions, caveats: list[str], checkpoint: str,
          read: Callable[[str], np.ndarray], run: Path | None, data: str | None = None,
          run_id: str = "") -> None:
    """Writes predictions.csv, metrics.json, the figures and report.html to `out`, and the report of `run`, if given.

    `data` are the slices, if they are not the run's own test set; `run_id` is that of the run of the checkpoint.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = predictions.table()
    if caveats:                                               # the table may be copied without its folder
        table["stamps"] = "; ".join(caveats)
    write_table(out / "predictions.csv", table)
    metrics = Metrics(evaluation, caveats, checkpoint=checkpoint, data=data, run_id=run_id)
    write_json(out / "metrics.json", asdict(metrics) | provenance())
    main, more = (draw(evaluation, predictions, caveats) for draw in (main_figures, more_figures))
    if evaluation.clinical:
        more = clinical_figures(evaluation.clinical, predictions, caveats) | more
    if evaluation.confounding:
        more = confounding_figures(evaluation.confounding, caveats) | more
    for name, (figure, _) in (main | more).items():
        write_png(out / name, figure)
    content = page_content(evaluation, predictions, main, more, read)
    write_text(out / "report.html", render("evaluation.html.j2", f"Evaluation of {checkpoint}", caveats,
                                           evaluation=content))
    if run is not None:
        write_report(run, content, caveats)
