"""An evaluation in words: the lines that are printed, and the sections of a page."""

from collections.abc import Callable

import numpy as np

from functions import html_page
from functions.evaluation import TOO_GOOD, too_good
from functions.report import number, with_interval
from functions.results import FEW

WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
         "auroc": "AUROC, mean over classes", "auroc_disease": "AUROC, diseased or not",
         "kappa": "kappa, quadratic weights", "brier": "Brier (0 to 2, less is better)",
         "ece": "ECE (less is better)"}
OF_CLASS = ("sensitivity", "specificity", "auroc")
NOT_ALONE = f"counts alone: fewer than {FEW} people, of it or of the others"


def lines(result: dict, stamps: list[str], checkpoint: str, rival: str) -> list[str]:
    """What is printed."""
    out = [f"{checkpoint}: {', '.join(stamps)}" if stamps else checkpoint]
    for unit in units(result):
        head = f"per {unit}, {result[unit]['count']:,} of them"
        out.append(f"{head:34}{'value [95 % interval]':25}{'always':>7}{'shuffled':>10}{'nearest':>9}{'p':>8}")
        for name, score in result[unit]["scores"].items():
            chance = f"{score['p']:8.4f}  {score['verdict']}" if "p" in score else ""
            out.append(f"  {WORDS[name]:32}{with_interval(score):25}{_number(score['constant']):>7}"
                       f"{_number(score.get('null')):>10}{_number(score.get('nearest')):>9}{chance}")
    out += [f"  ({note})" for note in notes(result)]
    for row in result[units(result)[0]]["classes"]:
        out.append(f"  {row['class']:22}{row['people']:4} {_who(result)}  " + (
            ", ".join(f"{'AUROC' if what == 'auroc' else what} {with_interval(row[what])}" for what in OF_CLASS)
            if "auroc" in row else NOT_ALONE))
    if nearest := result["nearest neighbour"]:
        split, strangers = (nearest[how]["slice"]["accuracy"] for how in ("as split", "among strangers"))
        out.append(f"  nearest pixel neighbour, slice accuracy: {split:.3f} as split, {strangers:.3f} among strangers")
    if calibration := result.get("calibration"):
        out.append(f"  temperature {calibration['temperature']:.2f}, fitted on validation: ECE of slices "
                   f"{calibration['ece before']:.3f} → {calibration['ece after']:.3f}")
    for way, scores in result.get("aggregation", {}).items():
        out.append(f"  patients by {way}: balanced accuracy {with_interval(scores['balanced_accuracy'])}, "
                   f"AUROC {with_interval(scores['auroc'])}")
    return out + [f"  minus {rival}, per {unit}, {words}: {difference}" for unit, words, difference in _paired(result)]


def units(result: dict) -> list[str]:
    """Patients first, where they are known."""
    return [unit for unit in ("patient", "slice") if unit in result]


def floor(result: dict) -> float:
    """The smallest p that so many permutations can give: the identity is counted among them."""
    return 1 / (result["resamples"] + 1)


def _who(result: dict) -> str:
    return "people" if result["patients known"] else "slices"


def _resampled(result: dict) -> str:
    return "patients within their classes" if result["patients known"] else "slices within their classes"


def notes(result: dict) -> list[str]:
    """Sentences that belong to the table of scores."""
    few = [f"{row['class']} {row['people']}" for row in result[units(result)[0]]["classes"] if 0 < row["people"] < FEW]
    said = [f"always: answering {result['largest']} every time; shuffled: the same predictions, labels handed out at "
            "random; nearest: the class of the nearest training picture",
            f"intervals: {result['resamples']:,} resamples of {_resampled(result)}",
            "p: the share of permutations of the patients' labels that score as well; its floor is "
            f"1/{result['resamples'] + 1} = {floor(result):.2g}"]
    if any(score.get("verdict") == TOO_GOOD for unit in units(result) for score in result[unit]["scores"].values()):
        limits = ", ".join(f"{WORDS[name]} {limit:.2f}" for name, limit in too_good(len(result["classes"])).items())
        said.append(f"too good: above {limits}; the best published scores on patients never seen are lower (sources "
                    "in functions/evaluation.py)")
    if few:
        said.append(f"means over classes hang on fewer than {FEW} {_who(result)} of {', '.join(few)}")
    if not result["patients known"]:
        said.append("nobody can tell whose slices these are: each counts as a patient, so intervals are too narrow "
                    "and p too small")
    return said


def _number(value) -> str:
    return "-" if value is None or value != value else number(value)


def _paired(result: dict) -> list[tuple[str, str, str]]:
    return [(unit, WORDS[name], f"{row['difference']:+.3f} [{row['low']:+.3f} to {row['high']:+.3f}]")
            for unit, scores in result.get("against", {}).items() for name, row in scores.items()
            if row["difference"] == row["difference"]]


def page_sections(result: dict, figures: str, picture: Callable[[str], np.ndarray],
                  rival: str = "the other run") -> list[tuple[str, str]]:
    """(heading, HTML) of an evaluation; `figures` is HTML, `picture` makes a gray picture of a path."""
    sections = []
    for unit in units(result):
        rows = [[WORDS[name], with_interval(s), _number(s["constant"]), _number(s.get("null")),
                 _number(s.get("nearest")), f"{s['p']:.4f}" if "p" in s else "", s.get("verdict", "")]
                for name, s in result[unit]["scores"].items()]
        sections.append((f"Scores per {unit}", html_page.table(
            [f"{result[unit]['count']:,} {unit}s", "value [95 % interval over patients]", f"always {result['largest']}",
             "shuffled labels", "nearest picture", f"p (floor {floor(result):.2g})", "verdict"], rows)
            + html_page.items([(note, False) for note in notes(result)])))
        rows = [[row["class"], row["people"], row["rows"],
                 *(with_interval(row[what]) if what in row else NOT_ALONE for what in OF_CLASS)]
                for row in result[unit]["classes"]]
        sections.append((f"Classes, per {unit}", html_page.table(
            ["class", _who(result), f"{unit}s", "sensitivity", "specificity", "AUROC against the rest"], rows)))
    if "aggregation" in result:
        rows = [[way, *(with_interval(score) for score in scores.values())]
                for way, scores in result["aggregation"].items()]
        sections.append(("From slices to a patient", html_page.table(
            ["way", "accuracy", "balanced accuracy", "AUROC"], rows)))
    if "against" in result:
        sections.append((f"Minus {rival}, on the same slices", html_page.table(
            ["per", "score", "difference [95 % interval over patients]"], _paired(result))))
    sections.append(("Figures", f'<div class="figures">{figures}</div>'))
    p, table = result["_p"], result["_table"]
    wrong = np.flatnonzero(p.argmax(axis=1) != table["label"])
    wrong = wrong[np.argsort(p[wrong, table["label"].to_numpy()[wrong]])]
    worst = wrong[np.sort(np.unique(table["who"].to_numpy().astype(str)[wrong], return_index=True)[1])][:12]
    thumbs = [(picture(table["path"][row]), f"{table['class'][row]} called {result['classes'][p[row].argmax()]} "
               f"({p[row].max():.0%}), {table['who'][row]}") for row in worst]
    sections.append((f"Worst mistakes, one a patient ({len(wrong):,} of {len(p):,} slices are wrong)",
                     html_page.thumbnails(thumbs)))
    return sections
