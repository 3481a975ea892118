"""The report of an audit: printed lines and the sections of an HTML page."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from functions.evaluation.evaluation import Score
from functions.reports import html_page
from functions.reports.evaluation_text import with_interval


def audit_lines(findings: list[dict], numbers: dict, data: Path) -> list[str]:
    """The printed lines: counts of slices and patients, then the findings, faults first."""
    balance, patients = numbers["balance"], numbers["patients"]
    lines = [f"{data}: {balance['slices']:,} slices of {_patients(balance)}, "
             f"effective sample size {_effective(balance)}"]
    lines += [f"  {name}: {counts['slices']:,} slices, {counts['patients']:,} patients"
              f"{_unassigned(counts['unassigned'])}" for name, counts in balance["classes"].items()]
    constant = balance["accuracy of always answering it"]
    lines += [f"  always predicting {balance['largest class']}: accuracy {constant:.1%}",
              f"  patients known from names or a table: {patients['known by name or table']:,}; from pixels only: "
              f"{patients['from pixels']}"]
    neighbour = numbers.get("leak", {}).get("nearest neighbour")
    if neighbour:
        lines.append(f"  accuracy of a nearest-neighbour classifier on the test slices: {neighbour['as_split'][0]:.1%} "
                     f"as split, {neighbour['strangers_only'][0]:.1%} without slices of the same patient, "
                     f"always the largest class {neighbour['largest_class']:.1%}")
    ordered = sorted(findings, key=lambda finding: not finding["wrong"])
    lines += [f"{'WRONG' if finding['wrong'] else 'note '}  {finding['text']}" for finding in ordered]
    return lines if findings else [*lines, "no problems found"]


def audit_sections(findings: list[dict], numbers: dict, examples: dict[str, list[str]],
                   read: Callable[[str], np.ndarray]) -> list[tuple[str, str]]:
    """(heading, HTML) sections of the page; `read(path)` returns a gray image."""
    balance = numbers["balance"]
    ordered = sorted(findings, key=lambda finding: not finding["wrong"])
    found = html_page.items([(finding["text"], finding["wrong"]) for finding in ordered])
    classes = [[name, f"{c['slices']:,}", f"{c['patients']:,}{_unassigned(c['unassigned'])}"]
               for name, c in balance["classes"].items()]
    sections = [
        ("Findings", found if findings else html_page.paragraphs("No problems found.")),
        ("Classes", html_page.table(["class", "slices", "patients"], classes) + html_page.paragraphs(
            f"{balance['slices']:,} slices of {_patients(balance)}: they carry as much information as "
            f"{_effective(balance, ' independent ones')}.")),
        ("Patients", html_page.table(["quantity", "value"], [[_plain(key), _short(value)] for key, value in
                                                             numbers["patients"].items()])),
    ]
    if "leak" in numbers:
        rows = [[name, _short(value)] for name, value in numbers["leak"].items()]
        sections.append(("Patients in several splits, and their effect on accuracy",
                         html_page.table(["measure", "value"], rows)))
    if numbers.get("shortcuts"):
        rows = [[s["trace"], f"{s['auroc']:.2f}", f"{s['shuffled']:.2f}", f"{max(s['apart'], 0):.0%}",
                 f"{max(s['apart_shuffled'], 0):.0%}"] for s in numbers["shortcuts"]]
        sections.append(("Shortcuts: class prediction without the brain", html_page.table(
            ["feature", "AUROC of the best predicted class", "maximum with shuffled labels",
             "share of a class separated from the others", "99th percentile with shuffled labels"], rows)))
    for heading, paths in examples.items():
        if paths:
            thumbs = html_page.thumbnails([(read(path), "/".join(Path(path).parts[-3:])) for path in paths])
            sections.append((f"Examples: {heading}", thumbs))
    damage = numbers["damage"]
    files = [*damage["unreadable"], *damage["odd"], *damage["no images"]]
    if files:
        sections.append(("Files left out or unusual", html_page.items([(file, False) for file in files])))
    return sections


def _patients(balance: dict) -> str:
    return f"{balance['patients']:,} patients{_unassigned(balance['slices of unknown patients'])}"


def _unassigned(slices: int) -> str:
    return f" and {slices:,} slices of unknown patients" if slices else ""


def _effective(balance: dict, unit: str = "") -> str:
    size = balance["effective sample size"]
    assumed = f"assuming an intraclass correlation of {balance['intraclass correlation, assumed']:g}"
    if size is None:
        return f"an unknown number of{unit}" if unit else "unknown"
    return f"about {size:,.0f}{unit} ({assumed})"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _short(value) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{_plain(key)}: {_short(part)}" for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return with_interval(Score(*value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
