"""The report of an audit: printed lines, and the texts, tables and pictures of its HTML page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from functions.evaluation.evaluation import Score
from functions.reports.evaluation_text import in_stage_order, with_interval
from functions.reports.html_page import Finding, Picture, Table, thumbnails


def audit_lines(findings: list[dict], numbers: dict, data: Path) -> list[str]:
    """The printed lines: counts of slices and patients, then the findings, faults first."""
    balance, patients = numbers["balance"], numbers["patients"]
    lines = [f"{data}: {balance['slices']:,} slices of {_patients(balance)}, "
             f"effective sample size {_effective(balance)}"]
    for name in in_stage_order(balance["classes"]):
        counts = balance["classes"][name]
        lines.append(f"  {name}: {counts['slices']:,} slices, {counts['patients']:,} patients"
                     f"{_unassigned(counts['unassigned'])}")
    constant = balance["accuracy of always answering it"]
    lines += [f"  always predicting {balance['largest class']}: accuracy {constant:.1%}",
              f"  patients known from names or a table: {patients['known by name or table']:,}; from pixels only: "
              f"{patients['from pixels']}"]
    neighbour = numbers.get("leak", {}).get("nearest neighbour")
    if neighbour:
        lines.append(f"  accuracy of a nearest-neighbour classifier on the test slices: {neighbour['as_split'][0]:.1%} "
                     f"as split, {neighbour['other_patients'][0]:.1%} without slices of the same patient, "
                     f"always the largest class {neighbour['largest_class']:.1%}")
    lines += [f"{'WRONG' if finding['wrong'] else 'note '}  {finding['text']}" for finding in _faults_first(findings)]
    return lines if findings else [*lines, "no problems found"]


@dataclass(frozen=True)
class AuditContent:
    """What the page of an audit shows; `examples` are (heading, thumbnails), `tables` (heading, table)."""

    answer: str
    counts: str
    findings: list[Finding]
    examples: list[tuple[str, list[Picture]]]
    tables: list[tuple[str, Table]]
    files: list[str]


def audit_content(findings: list[dict], numbers: dict, examples: dict[str, list[str]],
                  read: Callable[[str], np.ndarray]) -> AuditContent:
    """All that the page shows; `read(path)` returns a gray image."""
    balance, damage = numbers["balance"], numbers["damage"]
    faults = sum(finding["wrong"] for finding in findings)
    answer = f"{faults} problem{'s' * (faults != 1)} found" if faults else "No problems found"
    if notes := len(findings) - faults:
        answer += f", {notes} note{'s' * (notes != 1)}"
    thumbs = [(heading, thumbnails([(read(path), "/".join(Path(path).parts[-3:])) for path in paths]))
              for heading, paths in examples.items() if paths]
    return AuditContent(
        answer, f"{balance['slices']:,} slices of {_patients(balance)}; effective sample size: "
        f"{_effective(balance)}.",
        [Finding(finding["text"], finding["wrong"]) for finding in _faults_first(findings)], thumbs, _tables(numbers),
        [*damage["unreadable"], *damage["odd"], *damage["no images"]])


def _tables(numbers: dict) -> list[tuple[str, Table]]:
    classes = numbers["balance"]["classes"]
    rows = [[name, f"{classes[name]['slices']:,}",
             f"{classes[name]['patients']:,}{_unassigned(classes[name]['unassigned'])}"]
            for name in in_stage_order(classes)]
    made = [("Classes", Table(["class", "slices", "patients"], rows)),
            ("Patients", Table(["quantity", "value"], [[_plain(key), _short(value)] for key, value in
                                                       numbers["patients"].items()], pairs=True))]
    if "leak" in numbers:
        rows = [[name, _short(value)] for name, value in numbers["leak"].items()]
        made.append(("Patients in several splits, and their effect on accuracy",
                     Table(["measure", "value"], rows, pairs=True)))
    if numbers.get("shortcuts"):
        rows = [[s["trace"], f"{s['auroc']:.2f}", f"{s['shuffled']:.2f}", f"{max(s['apart'], 0):.0%}",
                 f"{max(s['apart_shuffled'], 0):.0%}"] for s in numbers["shortcuts"]]
        made.append(("Shortcuts: class prediction from features of the file alone", Table(
            ["feature", "AUROC of the best predicted class", "maximum with shuffled labels",
             "share of a class separated from the others", "99th percentile with shuffled labels"], rows)))
    return made


def _faults_first(findings: list[dict]) -> list[dict]:
    return sorted(findings, key=lambda finding: not finding["wrong"])


def _patients(balance: dict) -> str:
    return f"{balance['patients']:,} patients{_unassigned(balance['slices of unknown patients'])}"


def _unassigned(slices: int) -> str:
    return f" and {slices:,} slices of unknown patients" if slices else ""


def _effective(balance: dict) -> str:
    size = balance["effective sample size"]
    assumed = f"assuming an intraclass correlation of {balance['intraclass correlation, assumed']:g}"
    if size is None:
        return "unknown"
    return f"about {size:,.0f} ({assumed})"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _short(value) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{_plain(key)}: {_short(part)}" for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return with_interval(Score(*value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
