"""A run's folder → report.html: one self-contained page of what was run, on whom, how it went, what is not known."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from functions import html_page
from functions.files import write_text
from functions.plots import plot_loss_curves
from functions.results import WORDS

NOT_STATED = "not stated"


def write_report(run: Path, more: Sequence[tuple[str, str]] = ()) -> Path:
    """Writes `run`/report.html from the files of a finished run; `more` are sections of an evaluation."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    curves = pd.read_pickle(next(run.glob("*_losses.pkl")))
    split = pd.read_csv(run / "split.csv", dtype=str, keep_default_na=False)
    title = f"Run {run.name}"
    sections = [
        ("Result", _scores(metrics)),
        *more,
        ("Loss and accuracy", html_page.picture(plot_loss_curves(curves, "", metrics["best_epoch"]),
                                                "loss and accuracy of every epoch on train, val and test")),
        ("Data and split", _split(split) + html_page.items([(note, False) for note in record.get("notes", [])])),
        ("What was run", html_page.table(["what", "value"], [
            ["command", record.get("command")], ["commit", record.get("commit")], ["device", record.get("device")],
            ["started", record.get("started")], ["versions", _flat(record.get("versions"))],
            ["weights", record.get("weights", "from scratch")], ["fingerprint of the images", record["fingerprint"]],
            ["epoch kept", metrics["best_epoch"]]])),
        ("Settings", html_page.table(["setting", "value"], sorted(record["settings"].items()))),
        ("Model card", html_page.table(["item", "what is known"], model_card(record, split))),
    ]
    if findings := _audited(run, split):
        sections.insert(len(more) + 1, ("What the audit of these slices found", html_page.items(findings)))
    if left_out := record.get("left_out"):
        sections.append(("Files left out", html_page.items([(file, False) for file in left_out])))
    write_text(run / "report.html", html_page.page(title, record["stamps"], sections))
    return run / "report.html"


def _audited(run: Path, split: pd.DataFrame) -> list[tuple[str, bool]]:
    """(finding, whether it is a fault) of the audits beside the run whose data this run's slices are."""
    findings = []
    for path in sorted(run.parent.glob("audit-*/audit.json")):
        audit = json.loads(path.read_text(encoding="utf-8"))
        data = Path(audit["data"]).resolve()
        if all(data in Path(slice_path).resolve().parents for slice_path in split["path"]):
            findings += [(finding["text"], finding["wrong"]) for finding in audit["findings"]]
    return findings


def score_rows(scored: dict, unit: str) -> list[list[str]]:
    """score, value with interval, what the constant answer scores: a row each."""
    rows = []
    for name, words in WORDS.items():
        if name in scored[unit]:
            score = scored[unit][name]
            rows.append([words, with_interval(score), _number(score["constant"])])
    return rows


def with_interval(score: dict) -> str:
    """0.812 [0.770 to 0.850]."""
    if score["value"] is None:
        return "not measurable"
    return f"{_number(score['value'])} [{_number(score['low'])} to {_number(score['high'])}]"


def _number(value) -> str:
    return f"{value:.3f}" if isinstance(value, (int, float)) and value == value else "?"


def _scores(metrics: dict) -> str:
    parts = []
    for unit in ("patient", "slice"):
        rows = score_rows(metrics["test"], unit)
        parts.append(html_page.table([f"per {unit}, {metrics['test'][unit]['count']} of them", "value [95 % interval]",
                                      f"always {metrics['largest']}"], rows))
    return "".join(parts) + html_page.words("Intervals are from 2,000 resamples of patients.")


def _split(split: pd.DataFrame) -> str:
    table = split.assign(who=split["subject"].where(split["subject"] != "", split["path"]))
    counts = table.groupby(["class", "split"]).agg(patients=("who", "nunique"), slices=("path", "size")).reset_index()
    return html_page.table(["class", "split", "patients", "slices"], counts.to_numpy().tolist())


def _flat(value) -> str:
    return ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def model_card(record: dict, split: pd.DataFrame) -> list[list[str]]:
    """Items after CLAIM 2024 and TRIPOD+AI: filled in from what the run knows, "not stated" where it knows nothing."""
    known = (split["subject"] != "").all()
    both = split[split["subject"] != ""].groupby("subject")["split"].nunique().gt(1).sum()
    level = "patients unknown" if not known else (
        f"slices: {both} patients stand in several partitions" if both else "patients: disjoint")
    preprocessing = record["preprocessing"]
    return [
        ["Intended use", "research and teaching; not a diagnosis, not a medical device"],
        ["Data source", NOT_STATED], ["Eligibility of patients", NOT_STATED], ["Dates and sites", NOT_STATED],
        ["De-identification", NOT_STATED], ["Reference standard for the classes", NOT_STATED],
        ["Age, sex and comorbidity", f"{NOT_STATED}; no score is corrected for age"],
        ["Sample size", f"{len(split)} slices of {split['subject'].replace('', pd.NA).nunique()} known patients"],
        ["Level at which partitions are disjoint", level],
        ["Preprocessing", _flat(preprocessing)],
        ["Missing and unreadable data", f"{len(record.get('left_out', []))} files left out, named below"],
        ["Model", f"{record['settings'].get('model')}, {record.get('weights', 'from scratch')}"],
        ["Training", f"{record['settings'].get('optimizer')}, rate {record['settings'].get('lr')}, "
                     f"{record['settings'].get('epochs')} epochs, seed {record['settings'].get('seed')}"],
        ["Selection of the epoch", "on validation patients, never on test"],
        ["Measures of uncertainty", "95 % intervals from resampling patients within classes"],
        ["External validation", NOT_STATED], ["Robustness and subgroups", NOT_STATED],
        ["Explainability", NOT_STATED], ["Registration and protocol", NOT_STATED],
        ["Code", f"commit {record.get('commit')}"],
        ["Limitations", "one cohort, slices not volumes; old age looks much like early dementia"],
    ]
