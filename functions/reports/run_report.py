"""A run's folder → report.html: one self-contained page of what was run, on whom, how it went, what is not known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from functions.checkpointing.run_folder import read_record, resume_command
from functions.checkpointing.run_tables import read_curves, read_split
from functions.evaluation.intervals import FEW
from functions.evaluation.metrics_file import read_run_metrics
from functions.evaluation.results import WORDS
from functions.reports import html_page
from functions.reports.model_card import CARD, flat, model_card
from functions.reports.plots import make_title, plot_loss_curves
from functions.runtime.atomic_files import write_text
from functions.runtime.errors import UserError, not_a_file
from functions.runtime.json_files import check, read_json

UNKNOWN = "PATIENTS UNKNOWN"


def check_reportable(run: Path) -> None:
    """UserError, one line, if a run's folder lacks what its report is made of, or any of it is damaged."""
    record = read_record(run)
    if record["state"] != "finished":
        raise UserError(f"{run} is {record['state']}, not finished: go on with {resume_command(run, record)}")
    for name in ("metrics.json", "split.csv", "results.csv"):
        if why := not_a_file(run / name):
            raise UserError(f"{run} holds no {name}, which a finished run does" if why == "no such file" else
                            f"{run / name} is {why}; a finished run holds its own there")
    read_results(run)


def read_results(run: Path) -> tuple[dict, pd.DataFrame, dict[str, list[float]]]:
    """metrics.json, split.csv and results.csv of a finished run, each checked: text alone, nothing in them is run."""
    metrics = read_run_metrics(run / "metrics.json")
    split, curves = read_split(run / "split.csv"), read_curves(run / "results.csv")
    if not 1 <= metrics["best_epoch"] <= len(curves["train_loss"]):
        raise UserError(f'{run / "metrics.json"} is damaged: "best_epoch" is {metrics["best_epoch"]}, but results.csv '
                        f"has {len(curves['train_loss'])} epochs")
    return metrics, split, curves


def write_report(run: Path, more: Sequence[tuple[str, str]] = (), stamps: Sequence[str] | None = None) -> Path:
    """Writes `run`/report.html from the files of a finished run; `more` are sections of an evaluation, `stamps` its."""
    record = read_record(run)
    metrics, split, curves = read_results(run)
    marks = record["stamps"] if stamps is None else stamps
    sections = [
        *(more or [("Result", _scores(metrics, UNKNOWN not in marks))]),
        ("What the audit of these slices found", _audited(run, record, split)),
        ("Loss and accuracy", html_page.picture(
            html_page.png(plot_loss_curves(curves, make_title("", marks), metrics["best_epoch"])),
            "loss and accuracy of every epoch on train, val and test")),
        ("Data and split", _split(split) + html_page.items([(note, False) for note in record.get("notes", [])])),
        ("What was run", html_page.table(["what", "value"], [
            ["command", record.get("command")], *(["resumed by", again] for again in record.get("commands", [])),
            ["commit", record.get("commit")], ["device", record.get("device")],
            ["started", record.get("started")], ["versions", flat(record.get("versions"))],
            ["weights", record.get("weights", "from scratch")], ["fingerprint of the images", record["fingerprint"]],
            ["epoch kept", metrics["best_epoch"]]])),
        ("Settings", html_page.table(["setting", "value"], sorted(record["settings"].items()))),
        ("Model card", html_page.words(CARD) + html_page.table(
            ["item", "what is known"], model_card(record, split, bool(more)))),
    ]
    if left_out := record.get("left_out"):
        sections.append(("Files left out", html_page.items([(file, False) for file in left_out])))
    write_text(run / "report.html", html_page.page(f"Run {run.name}", marks, sections))
    return run / "report.html"


@dataclass(frozen=True)
class _Finding:
    text: str
    wrong: bool


@dataclass(frozen=True)
class _Audit:
    """What is read of an audit.json."""

    data: str
    findings: list[_Finding]


def _audited(run: Path, record: dict, split: pd.DataFrame) -> str:
    """The findings of the audits beside the run whose data this run's slices are."""
    start = Path(record["settings"].get("cwd", "."))                  # paths in split.csv start where the run did
    folders = {(start / folder).resolve() for folder in {Path(path).parent for path in split["path"]}}
    findings = []
    for path in sorted(run.parent.glob("audit-*/audit.json")):
        try:
            audit = read_json(path)
            check(_Audit, audit, path)
            data = _audited_data(path, audit["data"])
        except UserError as error:            # a report must not fail on another program's file
            findings.append((f"not used: {error}", False))
            continue
        if data == (run / "split.csv").resolve() or all(data in (folder, *folder.parents) for folder in folders):
            found = [(finding["text"], finding["wrong"]) for finding in audit["findings"]]
            findings += found or [("nothing wrong was found", False)]
    return html_page.items(findings) if findings else html_page.words(
        "These slices have not been audited: python audit.py DATA, then evaluate.py on this run, fills this in.")


def _audited_data(audit: Path, data: str) -> Path:
    """What an audit looked at; a relative path starts where runs/audit-DATA/audit.json was written from."""
    try:
        return (audit.resolve().parent.parent.parent / data).resolve()
    except ValueError as error:               # a NUL or a lone surrogate: no path that a file system has
        raise UserError(f'{audit} is damaged: "data" is no path ({error})') from None


def score_rows(scored: dict, unit: str) -> list[list[str]]:
    """score, value with interval, what the constant answer scores: a row each."""
    rows = []
    for name, words in WORDS.items():
        if name in scored[unit]:
            score = scored[unit][name]
            rows.append([words, with_interval(score), number(score["constant"])])
    return rows


def with_interval(score: dict) -> str:
    """0.812 [0.770 to 0.850]; no interval without width, which says that there are too few, not certainty."""
    if score["value"] is None or score["value"] != score["value"]:
        return "not scored"
    low, high = score["low"], score["high"]
    if low is None or high is None or not high > low:
        return number(score["value"])
    return f"{number(score['value'])} [{number(low)} to {number(high)}]"


def number(value) -> str:
    """Three decimals; ? for what is not known."""
    return f"{value:.3f}" if isinstance(value, (int, float)) and value == value else "?"


def _scores(metrics: dict, patients_known: bool) -> str:
    parts = []
    for unit in ("patient", "slice") if patients_known else ("slice",):
        rows = score_rows(metrics["test"], unit)
        parts.append(html_page.table([f"per {unit}, {metrics['test'][unit]['count']} of them", "value [95 % interval]",
                                      f"always {metrics['largest']}"], rows))
    return "".join(parts) + html_page.words(
        f"Intervals are 95 %, over patients, of this network on this split. A class with fewer than {FEW} patients is "
        "not scored and in no mean."
        if patients_known else "The patients are unknown: no intervals.")


def _split(split: pd.DataFrame) -> str:
    table = split.assign(who=split["subject"].where(split["subject"] != "", split["path"]))
    counts = table.groupby(["class", "split"]).agg(patients=("who", "nunique"), slices=("path", "size")).reset_index()
    return html_page.table(["class", "split", "patients", "slices"], counts.to_numpy().tolist())


