"""A run's folder → report.html: one self-contained page of what was run, on whom, how it went, what is not known."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from functions import html_page
from functions.errors import UserError
from functions.files import write_text
from functions.model_card import CARD, flat, model_card
from functions.plots import make_title, plot_loss_curves
from functions.results import WORDS
from functions.run_folder import losses_file, read_record, resume_command
from functions.run_record import read_json_object

UNKNOWN = "PATIENTS UNKNOWN"


def check_reportable(run: Path) -> None:
    """ValueError, one line, if a run's folder lacks what its report is made of."""
    record = read_record(run)
    if record["state"] != "finished":
        raise UserError(f"{run} is {record['state']}, not finished: go on with {resume_command(run, record)}")
    for name in ("metrics.json", "split.csv"):
        if not (run / name).is_file():
            raise UserError(f"{run} holds no {name}, which a finished run does")
    if not losses_file(run, record).is_file():
        raise UserError(f"{run} holds no {losses_file(run, record).name}, which a finished run does")
    if "test" not in read_json(run / "metrics.json"):
        raise UserError(f"{run / 'metrics.json'} is damaged: it holds no scores of test")


def read_json(path: Path) -> dict:
    """A JSON file's object; UserError, one line, if it holds none."""
    return read_json_object(path.read_bytes(), path)


def write_report(run: Path, more: Sequence[tuple[str, str]] = (), stamps: Sequence[str] | None = None) -> Path:
    """Writes `run`/report.html from the files of a finished run; `more` are sections of an evaluation, `stamps` its."""
    record, metrics = read_record(run), read_json(run / "metrics.json")
    curves = pd.read_pickle(losses_file(run, record))
    split = pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False)
    marks = record["stamps"] if stamps is None else stamps
    sections = [
        *(more or [("Result", _scores(metrics, UNKNOWN not in marks))]),
        ("What the audit of these slices found", _audited(run, split, record["settings"].get("cwd", "."))),
        ("Loss and accuracy", html_page.picture(plot_loss_curves(curves, make_title("", marks), metrics["best_epoch"]),
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


def _audited(run: Path, split: pd.DataFrame, start: str) -> str:
    """The findings of the audits beside the run whose data this run's slices are; its paths start from `start`."""
    slices = [Path(start, path).resolve() for path in split["path"]]
    findings = []
    for path in sorted(run.parent.glob("audit-*/audit.json")):
        try:
            audit = read_json(path)
            data = Path(path.resolve().parent.parent.parent, audit["data"]).resolve()   # older ones: from beside runs/
            told = [(finding["text"], bool(finding["wrong"])) for finding in audit["findings"]]
        except (UserError, KeyError, TypeError) as error:      # a report must not fail on another program's file
            findings.append((f"{path} cannot be read: {error}", False))
            continue
        mine = all(data in path.parents for path in slices)
        if mine or data == (run / "split.csv").resolve():
            findings += told or [("nothing wrong was found", False)]
    return html_page.items(findings) if findings else html_page.words(
        "These slices have not been audited: python audit.py DATA, then evaluate.py on this run, fills this in.")


def score_rows(scored: dict, unit: str) -> list[list[str]]:
    """score, value with interval, what the constant answer scores: a row each."""
    rows = []
    for name, words in WORDS.items():
        if name in scored[unit]:
            score = scored[unit][name]
            rows.append([words, with_interval(score), number(score["constant"])])
    return rows


def with_interval(score: dict) -> str:
    """0.812 [0.770 to 0.850]; an interval without width says that there are too few to resample, not certainty."""
    if score["value"] is None or score["value"] != score["value"]:
        return "not measurable"
    low, high = score["low"], score["high"]
    if low is None or high is None or not high > low:
        return f"{number(score['value'])} [?]"
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
        "Intervals are from 2,000 resamples of patients within their classes." if patients_known else
        "Nobody can tell whose slices these are: each counts as a patient, so the intervals are too narrow.")


def _split(split: pd.DataFrame) -> str:
    table = split.assign(who=split["subject"].where(split["subject"] != "", split["path"]))
    counts = table.groupby(["class", "split"]).agg(patients=("who", "nunique"), slices=("path", "size")).reset_index()
    return html_page.table(["class", "split", "patients", "slices"], counts.to_numpy().tolist())


