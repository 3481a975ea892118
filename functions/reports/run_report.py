"""report.html of a run: results, audit findings, curves, data and split, settings and model card on one page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from functions.checkpointing.run_folder import read_record, resume_command
from functions.checkpointing.run_tables import read_curves, read_predictions, read_split
from functions.evaluation.evaluation import Evaluation, Metrics, read_metrics
from functions.reports.evaluation_plots import main_figures
from functions.reports.evaluation_text import EvaluationContent, evaluation_content
from functions.reports.html_page import Finding, Picture, Table, picture, render
from functions.reports.model_card import CARD, flat, model_card
from functions.reports.plots import make_title, plot_curve
from functions.runtime.atomic_files import write_text
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.json_files import check, read_json


def check_reportable(run: Path) -> None:
    """Raises UserError if a file that the report of a run needs is missing or damaged."""
    record = read_record(run)
    if record["state"] != "finished":
        raise UserError(f"{run} is {record['state']}, not finished: continue with {resume_command(run, record)}")
    for name in ("metrics.json", "split.csv", "results.csv"):
        if why := not_a_file(run / name):
            raise UserError(f"{run} has no {name}, although the run is finished" if why == "no such file" else
                            f"{run / name} is {why}")
    read_results(run)


def read_results(run: Path) -> tuple[Metrics, pd.DataFrame, dict[str, list[float]]]:
    """metrics.json, split.csv and results.csv of a finished run, checked; reading them never runs code."""
    metrics = read_metrics(run / "metrics.json")
    split, curves = read_split(run / "split.csv"), read_curves(run / "results.csv")
    if not 1 <= (metrics.best_epoch or 0) <= len(curves["train_loss"]):
        raise UserError(f'{run / "metrics.json"} is damaged: "best_epoch" is {metrics.best_epoch}, but results.csv '
                        f"has {len(curves['train_loss'])} epochs")
    return metrics, split, curves


@dataclass(frozen=True)
class RunContent:
    """What the page of a run shows beside the evaluation."""

    findings: list[Finding]
    curves: list[Picture]
    split: Table
    notes: list[str]
    settings: Table
    card: Table
    card_source: str
    provenance: Table
    left_out: list[str]


def write_report(run: Path, evaluated: EvaluationContent | None = None, caveats: Sequence[str] | None = None) -> Path:
    """Writes `run`/report.html from the files of a finished run; `evaluated` and `caveats` are of an evaluation."""
    record = read_record(run)
    metrics, split, curves = read_results(run)
    caveats = record["stamps"] if caveats is None else caveats
    figures, notes = ([], []) if evaluated else _figures(run, metrics.test, caveats)
    content = RunContent(
        _audited(run, record, split), _curves(curves, metrics.best_epoch, caveats),
        _split(split, metrics.test), [*record.get("notes", []), *notes],
        _pairs("setting", sorted(record["settings"].items())),
        _pairs("item", model_card(record, split, evaluated is not None)), CARD,
        _provenance(record, metrics.best_epoch), record.get("left_out", []))
    evaluation = evaluated or evaluation_content(metrics.test, figures)
    write_text(run / "report.html", render("run.html.j2", f"Run {run.name}", caveats, evaluation=evaluation,
                                           run=content))
    return run / "report.html"


def _figures(run: Path, evaluation: Evaluation, caveats: Sequence[str]) -> tuple[list[Picture], list[str]]:
    """(ROC curves and confusion matrix from the run's predictions.csv, notes); a note says why there are none."""
    try:
        predictions = read_predictions(run / "predictions.csv", evaluation.class_names)
    except UserError as error:                # a report without these figures is better than none
        return [], [f"no ROC curves and no confusion matrix: {error}"]
    if len(predictions.labels) != evaluation.slice.count or predictions.patients_known != bool(evaluation.patient):
        return [], ["no ROC curves and no confusion matrix: predictions.csv does not belong to metrics.json"]
    return [picture(*drawn) for drawn in main_figures(evaluation, predictions, caveats).values()], []


def _curves(curves: dict[str, list[float]], best_epoch: int | None, caveats: Sequence[str]) -> list[Picture]:
    splits = "train, val and test" if "test_loss" in curves else "train and val"
    return [picture(plot_curve(curves, metric, make_title(f"{name} per epoch", caveats), best_epoch),
                    f"{name} of {splits}; epoch {best_epoch} of {len(curves['train_loss'])} was selected")
            for metric, name in (("loss", "Loss"), ("acc", "Accuracy"))]


def _provenance(record: dict, best_epoch: int | None) -> Table:
    return _pairs("item", [
        ("command", record.get("command")), *(("resumed by", again) for again in record.get("commands", [])),
        ("commit", record.get("commit")), ("device", record.get("device")), ("started", record.get("started")),
        ("versions", flat(record.get("versions"))), ("weights", record.get("weights", "from scratch")),
        ("fingerprint of the images", record["fingerprint"]), ("selected epoch", best_epoch)])


def _pairs(kind: str, rows: Iterable[Sequence]) -> Table:
    """A table of (name, value); "-" for values that are not set."""
    return Table([kind, "value"], [[name, "-" if value is None else value] for name, value in rows], pairs=True)


@dataclass(frozen=True)
class _Audit:
    """The entries of audit.json that are read."""

    data: str
    findings: list[Finding]


def _audited(run: Path, record: dict, split: pd.DataFrame) -> list[Finding]:
    """The findings of audits of this run's data, from audit folders next to the run."""
    start = Path(record["settings"].get("cwd", "."))                  # paths in split.csv are relative to it
    folders = {(start / folder).resolve() for folder in {Path(path).parent for path in split["path"]}}
    findings = []
    for path in sorted(run.parent.glob("audit-*/audit.json")):
        try:
            audit = read_json(path)
            check(_Audit, audit, path)
            data = _audited_data(path, audit["data"])
        except UserError as error:            # a damaged audit must not prevent the report
            findings.append(Finding(f"not used: {error}", False))
            continue
        if data == (run / "split.csv").resolve() or all(data in (folder, *folder.parents) for folder in folders):
            found = [Finding(finding["text"], finding["wrong"]) for finding in audit["findings"]]
            findings += found or [Finding("no problems found", False)]
    return sorted(findings, key=lambda finding: not finding.wrong)


def _audited_data(audit: Path, data: str) -> Path:
    """The data of an audit; a relative path starts at the folder that holds runs/audit-DATA/audit.json."""
    try:
        return (audit.resolve().parent.parent.parent / data).resolve()
    except ValueError as error:               # a NUL or a lone surrogate
        raise UserError(f'{audit} is damaged: "data" is not a path ({error})') from None


def _split(split: pd.DataFrame, evaluation: Evaluation) -> Table:
    """The numbers of patients (if all are known) and slices of each class, in stage order, and of each split."""
    known = bool((split["subject"] != "").all())
    names = split["class"].unique().tolist()
    names = [names[k] for k in evaluation.in_stage_order(names)]
    splits = [name for name in ("train", "val", "test") if (split["split"] == name).any()]

    def cells(rows: pd.DataFrame) -> list[str]:
        sides = [rows[rows["split"] == name] for name in splits]
        return [cell for side in sides for cell in [f"{side['subject'].nunique():,}"] * known + [f"{len(side):,}"]]

    rows = [[name, *cells(split[split["class"] == name])] for name in names]
    kinds = ["patients"] * known + ["slices"]
    return Table(["class", *(f"{name} {kind}" for name in splits for kind in kinds)],
                 [*rows, ["all", *cells(split)]])
