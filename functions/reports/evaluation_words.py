"""An evaluation in words: the lines that are printed, and the sections of a page."""

from collections.abc import Callable

import numpy as np

from functions.evaluation.intervals import FEW
from functions.evaluation.scores import OF_CLASS, SIGNIFICANT, TOO_GOOD, TOO_GOOD_AUROC, TOO_GOOD_PATIENTS
from functions.reports import html_page
from functions.reports.run_report import number, with_interval

WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
         "auroc": "AUROC, mean over classes", "auroc_disease": "AUROC, diseased or not",
         "kappa": "kappa, quadratic weights", "brier": "Brier (0 to 2, less is better)",
         "ece": "ECE (less is better)"}
UNLIKE = 2.0                # times as many slices a patient, from which patients are no longer exchangeable enough
NOT_ALONE = f"counts alone: fewer than {FEW} people, of it or of the others"


def lines(result: dict, stamps: list[str], checkpoint: str, rival: str) -> list[str]:
    """What is printed: the verdict on the primary score first."""
    out = [f"{checkpoint}: {', '.join(stamps)}" if stamps else checkpoint, answer(result)]
    for unit in units(result):
        head = f"per {unit}, {result[unit]['count']:,} of them"
        out.append(f"{head:34}{'value [95 % interval]':25}{'always':>7}{'shuffled':>10}{'nearest':>9}")
        for name, score in result[unit]["scores"].items():
            out.append(f"  {WORDS[name]:32}{with_interval(score):25}{_number(score['constant']):>7}"
                       f"{_number(score.get('null')):>10}{_number(score.get('nearest')):>9}")
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
    return out + [f"  minus {rival}, per patient, {words}: {value}" for words, value in _paired(result)]


def answer(result: dict) -> str:
    """The primary score of the patients with its interval, p-value and verdict, in one sentence."""
    if "patient" not in result:
        return "no verdict: the patients are unknown, so slices cannot be told from patients"
    score, name = result["patient"]["scores"][result["primary"]], WORDS[result["primary"]]
    if score["verdict"] == "not scored":
        return f"{name}: not scored, fewer than {FEW} patients on a side or in all classes but one"
    against = f"always answering {result['largest']}"
    if score["verdict"].startswith("no verdict"):
        return f"{result['patient']['count']} patients, {name} {with_interval(score)}: {score['verdict']}"
    said = {"better": f"better than {against}", "not shown to be better": f"not shown to be better than {against}"}
    verdict = score["verdict"].split(",")[0]
    words = score["verdict"].replace(verdict, said.get(verdict, verdict), 1)
    return f"{result['patient']['count']} patients, {name} {with_interval(score)}, p = {score['p']:.2g}: {words}"


def units(result: dict) -> list[str]:
    """Patients first, where they are known."""
    return [unit for unit in ("patient", "slice") if unit in result]


def floor(result: dict) -> float:
    """The smallest p that so many permutations can give: the identity is counted among them."""
    return 1 / (result["resamples"] + 1)


def _who(result: dict) -> str:
    return "people" if result["patients known"] else "slices"


def notes(result: dict) -> list[str]:
    """Sentences that belong to the table of scores."""
    rows = result[units(result)[0]]["classes"]
    few = [f"{row['class']} {row['people']}" for row in rows if 0 < row["people"] < FEW]
    said = [f"always: answering {result['largest']} every time; shuffled: the same predictions, the patients' labels "
            "exchanged at random; nearest: the class of the nearest picture of training or validation"]
    if result["patients known"]:
        primary, always = WORDS[result["primary"]], f"always answering {result['largest']}"
        said += ["intervals are 95 %, over patients: where this one trained network's score over all patients of "
                 "this population lies. They do not hold what another split or seed would change. Simulated for 20 to "
                 "120 patients (AUROC of diseased or not from 10), three classes, one kind of network; a score without "
                 "one: no method that was tried holds the truth often enough",
                 "p: the share of permutations of the patients' labels that score as well, one-sided; its floor is "
                 f"1/{result['resamples'] + 1} = {floor(result):.2g}. Better: p below {SIGNIFICANT} and the whole "
                 f"interval above {always}, so p between 0.025 and 0.05 is seldom enough. Only {primary} has a "
                 "verdict: of many verdicts one would be good by chance"]
        if result["primary"] == "auroc_disease":
            said.append(f'"{TOO_GOOD}" takes about {TOO_GOOD_PATIENTS} patients, more where few are diseased or few '
                        "healthy: with fewer not even an AUROC of 1 has an interval that begins above "
                        f"{TOO_GOOD_AUROC}; its absence says nothing about a leak")
        if _unlike(result.get("_slices", (1, 1))):
            healthy, diseased = result["_slices"]
            said.append(f"the median number of slices is {healthy:g} of healthy and {diseased:g} of diseased patients: "
                        "where it follows the class neither p-value nor interval holds")
        if result["patient"]["scores"][result["primary"]]["verdict"] == TOO_GOOD:
            said.append(f"too good: the interval begins above {TOO_GOOD_AUROC}, the best known to us of Alzheimer's "
                        "disease against controls, cross-validated in ADNI (Bron et al. 2021)")
    else:
        said.append("the patients are unknown: no interval, no p-value and no verdict, since slices of one patient are "
                    "no independent observations")
    if few:
        said.append(f"not scored, fewer than {FEW} {_who(result)}, and in no mean over classes: {', '.join(few)}")
    return said


def _unlike(medians: tuple[float, float]) -> bool:
    """Whether one side's patients have UNLIKE times as many slices as the other's."""
    return max(medians) >= UNLIKE * min(medians)


def _number(value) -> str:
    return "-" if value is None or value != value else number(value)


def _paired(result: dict) -> list[tuple[str, str]]:
    rows = []
    for name, row in result.get("against", {}).items():
        if row["difference"] == row["difference"]:
            span = f" [{row['low']:+.3f} to {row['high']:+.3f}]" if row["high"] > row["low"] else ""
            judged = name == result["primary"] and np.isfinite(row.get("p", np.nan))
            chance = f", p = {row['p']:.2g}" if judged else ""
            rows.append((WORDS[name], f"{row['difference']:+.3f}{span}{chance}"))
    return rows


def page_sections(result: dict, figures: str, picture: Callable[[str], np.ndarray],
                  rival: str = "the other run") -> list[tuple[str, str]]:
    """(heading, HTML) of an evaluation; `figures` is HTML, `picture` makes a gray picture of a path."""
    sections = [("Result", html_page.words(answer(result)))]
    for unit in units(result):
        rows = [[WORDS[name], with_interval(s), _number(s["constant"]), _number(s.get("null")),
                 _number(s.get("nearest"))] for name, s in result[unit]["scores"].items()]
        sections.append((f"Scores per {unit}", html_page.table(
            [f"{result[unit]['count']:,} {unit}s", "value [95 % interval over patients]", f"always {result['largest']}",
             "shuffled labels", "nearest picture"], rows)
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
        sections.append((f"Minus {rival}, on the same patients", html_page.table(
            ["score", "difference [95 % interval over patients]"], _paired(result))))
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
