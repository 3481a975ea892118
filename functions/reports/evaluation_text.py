"""The text of an evaluation: printed lines and the sections of an HTML page."""

from collections.abc import Callable

import numpy as np

from functions.evaluation.intervals import FEW
from functions.evaluation.scores import OF_CLASS, SIGNIFICANT, TOO_GOOD, TOO_GOOD_AUROC, TOO_GOOD_PATIENTS
from functions.reports import html_page
from functions.reports.run_report import number, with_interval

SCORE_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
         "auroc": "AUROC, mean over classes", "auroc_disease": "AUROC, diseased or not",
         "kappa": "kappa, quadratic weights", "brier": "Brier (0 to 2, lower is better)",
               "ece": "ECE (lower is better)"}
UNLIKE = 2.0         # ratio of median numbers of slices, from which patients of the two sides are not exchangeable
COUNTS_ONLY = f"counts only: fewer than {FEW} patients in this class or in the others"


def lines(result: dict, caveats: list[str], checkpoint: str, rival: str) -> list[str]:
    """The printed lines, the verdict on the primary score first."""
    out = [f"{checkpoint}: {', '.join(caveats)}" if caveats else checkpoint, headline(result)]
    for unit in units(result):
        head = f"per {unit}, n = {result[unit]['count']:,}"
        out.append(f"{head:34}{'value [95 % interval]':25}{'always':>7}{'permuted':>10}{'nearest':>9}")
        for name, score in result[unit]["scores"].items():
            out.append(f"  {SCORE_NAMES[name]:32}{with_interval(score):25}{_number(score['constant']):>7}"
                       f"{_number(score.get('null')):>10}{_number(score.get('nearest')):>9}")
    out += [f"  ({note})" for note in notes(result)]
    for row in result[units(result)[0]]["classes"]:
        out.append(f"  {row['class']:22}{row['people']:4} {_unit(result)}  " + (
            ", ".join(f"{'AUROC' if name == 'auroc' else name} {with_interval(row[name])}" for name in OF_CLASS)
            if "auroc" in row else COUNTS_ONLY))
    if nearest := result["nearest neighbour"]:
        split, others = (nearest[condition]["slice"]["accuracy"] for condition in ("as split", "among strangers"))
        out.append(f"  nearest pixel neighbour, slice accuracy: {split:.3f} as split, {others:.3f} without slices of "
                   "the same patient")
    if calibration := result.get("calibration"):
        out.append(f"  temperature {calibration['temperature']:.2f}, fitted on validation: ECE of slices "
                   f"{calibration['ece before']:.3f} → {calibration['ece after']:.3f}")
    for method, scores in result.get("aggregation", {}).items():
        out.append(f"  patients by {method}: balanced accuracy {with_interval(scores['balanced_accuracy'])}, "
                   f"AUROC {with_interval(scores['auroc'])}")
    return out + [f"  minus {rival}, per patient, {name}: {value}" for name, value in _paired(result)]


def headline(result: dict) -> str:
    """The primary patient score with its interval, p-value and verdict."""
    if "patient" not in result:
        return "no verdict: the patients are unknown"
    score, name = result["patient"]["scores"][result["primary"]], SCORE_NAMES[result["primary"]]
    if score["verdict"] == "not scored":
        return f"{name}: not scored, fewer than {FEW} patients on a side or in all classes but one"
    constant = f"always predicting {result['largest']}"
    if score["verdict"].startswith("no verdict"):
        return f"{result['patient']['count']} patients, {name} {with_interval(score)}: {score['verdict']}"
    full = {"better": f"better than {constant}", "not shown to be better": f"not shown to be better than {constant}"}
    verdict = score["verdict"].split(",")[0]
    text = score["verdict"].replace(verdict, full.get(verdict, verdict), 1)
    return f"{result['patient']['count']} patients, {name} {with_interval(score)}, p = {score['p']:.2g}: {text}"


def units(result: dict) -> list[str]:
    """The units of the result: patients (if known), then slices."""
    return [unit for unit in ("patient", "slice") if unit in result]


def smallest_p(result: dict) -> float:
    """The smallest p-value that the permutations can give; the identity is one of them."""
    return 1 / (result["resamples"] + 1)


def _unit(result: dict) -> str:
    return "patients" if result["patients known"] else "slices"


def notes(result: dict) -> list[str]:
    """Notes on the table of scores: its columns, the intervals, and the rule behind p-value and verdict."""
    rows = result[units(result)[0]]["classes"]
    few = [f"{row['class']} {row['people']}" for row in rows if 0 < row["people"] < FEW]
    found = [f"always: always predicting {result['largest']}; permuted: mean over permutations of the patients' "
             "labels; nearest: the class of the nearest image in training or validation"]
    if result["patients known"]:
        primary = SCORE_NAMES[result["primary"]]
        found += ["intervals are 95 %, over patients: where this one trained network's score over all patients of this "
                  "population lies. They do not include the variation between splits and seeds. Simulated for 20 to "
                  "120 patients (AUROC of diseased or not from 10), three classes, one kind of network; scores without "
                  "an interval have no method with enough coverage",
                  "p: the share of permutations of the patients' labels that score at least as well, one-sided; its "
                  f"minimum is 1/{result['resamples'] + 1} = {smallest_p(result):.2g}. Better: p below {SIGNIFICANT} "
                  f"and the whole interval above always predicting {result['largest']}; p between 0.025 and 0.05 is "
                  f"rarely sufficient. Only {primary} has a verdict, to avoid multiple testing"]
        if result["primary"] == "auroc_disease":
            found.append(f'"{TOO_GOOD}" requires about {TOO_GOOD_PATIENTS} patients, more if few are diseased or few '
                         "healthy: with fewer not even an AUROC of 1 has an interval that begins above "
                         f"{TOO_GOOD_AUROC}; its absence says nothing about a leak")
        if _unlike(result.get("_slices", (1, 1))):
            healthy, diseased = result["_slices"]
            found.append(f"the median number of slices is {healthy:g} of healthy, {diseased:g} of diseased patients: "
                         "where it follows the class neither p-value nor interval is valid")
        if result["patient"]["scores"][result["primary"]]["verdict"] == TOO_GOOD:
            found.append(f"too good: the interval begins above {TOO_GOOD_AUROC}, the highest value known to us for "
                         "Alzheimer's disease against controls, cross-validated in ADNI (Bron et al. 2021)")
    else:
        found.append("the patients are unknown: no interval, no p-value and no verdict, because slices of one patient "
                     "are not independent")
    if few:
        found.append(f"not scored, fewer than {FEW} {_unit(result)}, and excluded from means over classes: "
                     f"{', '.join(few)}")
    return found


def _unlike(medians: tuple[float, float]) -> bool:
    """Whether the patients of one side have UNLIKE times as many slices as those of the other."""
    return max(medians) >= UNLIKE * min(medians)


def _number(value) -> str:
    return "-" if value is None or value != value else number(value)


def _paired(result: dict) -> list[tuple[str, str]]:
    rows = []
    for name, row in result.get("against", {}).items():
        if row["difference"] == row["difference"]:
            interval = f" [{row['low']:+.3f} to {row['high']:+.3f}]" if row["high"] > row["low"] else ""
            tested = name == result["primary"] and np.isfinite(row.get("p", np.nan))
            p_value = f", p = {row['p']:.2g}" if tested else ""
            rows.append((SCORE_NAMES[name], f"{row['difference']:+.3f}{interval}{p_value}"))
    return rows


def page_sections(result: dict, figures: str, picture: Callable[[str], np.ndarray],
                  rival: str = "the other run") -> list[tuple[str, str]]:
    """(heading, HTML) sections of an evaluation; `figures` is HTML, `picture(path)` returns a gray image."""
    sections = [("Result", html_page.paragraphs(headline(result)))]
    for unit in units(result):
        rows = [[SCORE_NAMES[name], with_interval(s), _number(s["constant"]), _number(s.get("null")),
                 _number(s.get("nearest"))] for name, s in result[unit]["scores"].items()]
        sections.append((f"Scores per {unit}", html_page.table(
            [f"{result[unit]['count']:,} {unit}s", "value [95 % interval over patients]", f"always {result['largest']}",
             "permuted labels", "nearest image"], rows)
            + html_page.items([(note, False) for note in notes(result)])))
        rows = [[row["class"], row["people"], row["rows"],
                 *(with_interval(row[name]) if name in row else COUNTS_ONLY for name in OF_CLASS)]
                for row in result[unit]["classes"]]
        sections.append((f"Classes, per {unit}", html_page.table(
            ["class", _unit(result), f"{unit}s", "sensitivity", "specificity", "AUROC, one-vs-rest"], rows)))
    if "aggregation" in result:
        rows = [[method, *(with_interval(score) for score in scores.values())]
                for method, scores in result["aggregation"].items()]
        sections.append(("Aggregation of slices to patients", html_page.table(
            ["method", "accuracy", "balanced accuracy", "AUROC"], rows)))
    if "against" in result:
        sections.append((f"Difference to {rival}, on the same patients", html_page.table(
            ["score", "difference [95 % interval over patients]"], _paired(result))))
    sections.append(("Figures", f'<div class="figures">{figures}</div>'))
    p, table = result["_p"], result["_table"]
    wrong = np.flatnonzero(p.argmax(axis=1) != table["label"])
    wrong = wrong[np.argsort(p[wrong, table["label"].to_numpy()[wrong]])]
    worst = wrong[np.sort(np.unique(table["who"].to_numpy().astype(str)[wrong], return_index=True)[1])][:12]
    thumbs = [(picture(table["path"][row]), f"{table['class'][row]} predicted as "
               f"{result['classes'][p[row].argmax()]} ({p[row].max():.0%}), {table['who'][row]}") for row in worst]
    sections.append((f"Worst errors, one per patient ({len(wrong):,} of {len(p):,} slices are misclassified)",
                     html_page.thumbnails(thumbs)))
    return sections
