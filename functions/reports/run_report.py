"""report.html of a run: results, audit findings, curves, data and split, settings and model card on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from functions.checkpointing.run_folder import read_record, resume_command
from functions.checkpointing.run_tables import read_curves, read_split
from functions.evaluation.evaluation import Metrics, read_metrics
from functions.reports import html_page
from functions.reports.evaluation_text import score_sections
from functions.reports.model_card import CARD, flat, model_card
from functions.reports.plots import make_title, plot_loss_curves
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


def write_report(run: Path, more: Sequence[tuple[str, str]] = (), caveats: Sequence[str] | None = None) -> Path:
    """Writes `run`/report.html from the files of a finished run; `more` and `caveats` are those of an evaluation."""
    record = read_record(run)
    metrics, split, curves = read_results(run)
    caveats = record["stamps"] if caveats is None else caveats
    sections = [
        *(more or score_sections(metrics.test)),
        ("Audit findings", _audited(run, record, split)),
        ("Loss and accuracy", html_page.picture(
            html_page.png(plot_loss_curves(curves, make_title("", caveats), metrics.best_epoch)),
            "loss and accuracy of every epoch on train, val and test")),
        ("Data and split", _split(split) + html_page.items([(note, False) for note in record.get("notes", [])])),
        ("Provenance", html_page.table(["item", "value"], [
            ["command", record.get("command")], *(["resumed by", again] for again in record.get("commands", [])),
            ["commit", record.get("commit")], ["device", record.get("device")],
            ["started", record.get("started")], ["versions", flat(record.get("versions"))],
            ["weights", record.get("weights", "from scratch")], ["fingerprint of the images", record["fingerprint"]],
            ["selected epoch", metrics.best_epoch]])),
        ("Settings", html_page.table(["setting", "value"], sorted(record["settings"].items()))),
        ("Model card", html_page.paragraphs(CARD) + html_page.table(
            ["item", "value"], model_card(record, split, bool(more)))),
    ]
    if left_out := record.get("left_out"):
        sections.append(("Files left out", html_page.items([(file, False) for file in left_out])))
    write_text(run / "report.html", html_page.page(f"Run {run.name}", caveats, sections))
    return run / "report.html"


@dataclass(frozen=True)
class _Finding:
    text: str
    wrong: bool


@dataclass(frozen=True)
class _Audit:
    """The entries of audit.json that are read."""

    data: str
    findings: list[_Finding]


def _audited(run: Path, record: dict, split: pd.DataFrame) -> str:
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
            findings.append((f"not used: {error}", False))
            continue
        if data == (run / "split.csv").resolve() or all(data in (folder, *folder.parents) for folder in folders):
            found = [(finding["text"], finding["wrong"]) for finding in audit["findings"]]
            findings += found or [("no problems found", False)]
    return html_page.items(findings) if findings else html_page.paragraphs(
        "These slices have not been audited: run python audit.py DATA, then evaluate.py on this run.")


def _audited_data(audit: Path, data: str) -> Path:
    """The data of an audit; a relative path starts at the folder that holds runs/audit-DATA/audit.json."""
    try:
        return (audit.resolve().parent.parent.parent / data).resolve()
    except ValueError as error:               # a NUL or a lone surrogate
        raise UserError(f'{audit} is damaged: "data" is not a path ({error})') from None


def _split(split: pd.DataFrame) -> str:
    table = split.assign(id=split["subject"].where(split["subject"] != "", split["path"]))
    counts = table.groupby(["class", "split"]).agg(patients=("id", "nunique"), slices=("path", "size")).reset_index()
    return html_page.table(["class", "split", "patients", "slices"], counts.to_numpy().tolist())


