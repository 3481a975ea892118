"""An evaluation: everything computed from probabilities, printed, written down, and shown on a page."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from functions import evaluation, html_page
from functions.calibration import apply_temperature, fit_temperature, reliability
from functions.evaluation_plots import plot_reliability, plot_roc, plot_score_by_stage
from functions.files import write_atomically, write_json, write_text
from functions.metrics import by_patient, healthy_class
from functions.plots import make_title, plot_confusion_matrix
from functions.report import write_report
from functions.results import FEW, prediction_table
from functions.run_folder import provenance, write_table

SEEN = "PATIENTS SEEN IN TRAINING"
WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
         "auroc": "AUROC, mean over classes", "auroc_disease": "AUROC, diseased or not",
         "kappa": "kappa, quadratic weights", "brier": "Brier score (less is better)", "ece": "ECE (less is better)"}


def evaluate_all(probabilities: dict[str, np.ndarray], parts: dict[str, pd.DataFrame], class_names: list[str],
                 order: list[int] | None, largest: int, other: np.ndarray | None, neighbour: dict | None) -> dict:
    """Scores per slice and per patient, by class, calibrated, compared; arrays for figures stand under "_"-names."""
    p, table = probabilities["test"], parts["test"]
    y, who = table["label"].to_numpy(), table["who"].to_numpy().astype(str)
    healthy, stages = healthy_class(class_names), order or list(range(len(class_names)))
    people = by_patient(p, y, who)
    units = {"slice": (p, y, who), "patient": people}
    result = {"classes": class_names, "largest": class_names[largest], "nearest neighbour": neighbour,
              "order": [class_names[k] for k in stages] if order else None}
    for unit, (q, labels, subjects) in units.items():
        scored = evaluation.evaluate(q, labels, subjects, stages, largest, healthy)
        if order is None:
            scored.pop("kappa")
        result[unit] = {"count": len(labels), "scores": scored,
                        "classes": evaluation.by_class(q, labels, subjects, class_names, FEW)}
    result["aggregation"] = {way: evaluation.points(q, labels, stages, healthy)
                             for way, (q, labels) in evaluation.aggregated(p, y, who).items()}
    if "val" in probabilities:
        temperature = fit_temperature(probabilities["val"], parts["val"]["label"].to_numpy())
        result["calibration"] = {"temperature": temperature}
        for when, q in (("before", p), ("after", apply_temperature(p, temperature))):
            result["calibration"] |= {when: reliability(q, y), f"ece {when}": evaluation.points(q, y, stages)["ece"]}
    if other is not None:
        theirs = by_patient(other, y, who)
        result["against"] = {"slice": evaluation.paired(p, other, y, who, stages, healthy),
                             "patient": evaluation.paired(people[0], theirs[0], people[1], people[2], stages, healthy)}
    result["_table"], result["_p"], result["_patients"], result["_stages"] = table, p, people, stages
    return result


def lines(result: dict, stamps: list[str], checkpoint: str, rival: str) -> list[str]:
    """What is printed."""
    out = [f"{checkpoint}: {', '.join(stamps)}" if stamps else checkpoint]
    for unit in ("patient", "slice"):
        out.append(f"per {unit}, {result[unit]['count']:,} of them{'':17}value [95 % interval]   always "
                   f"{result['largest']}   shuffled labels        p")
        for name, score in result[unit]["scores"].items():
            null = f"{score['null']:.3f}" if "null" in score else "-"
            chance = f"{score['p']:.4f}  {score['verdict']}" if "p" in score else ""
            out.append(f"  {WORDS[name]:30}{score['value']:.3f} [{score['low']:.3f} to {score['high']:.3f}]"
                       f"{score['constant']:12.3f}{null:>14}   {chance}")
    out.append("  (p: permutations of the patients' labels; its floor is 1/2001 = 0.0005)")
    for row in result["patient"]["classes"]:
        out.append(f"  {row['class']:22}{row['people']:4} people  " + (
            f"sensitivity {row['sensitivity']:.3f}, specificity {row['specificity']:.3f}, AUROC {row['auroc']:.3f}"
            if "auroc" in row else f"fewer than {FEW}: no scores"))
    if neighbour := result["nearest neighbour"]:
        out.append(f"  nearest pixel neighbour, slice accuracy: {neighbour['as_split'][0]:.3f} as split, "
                   f"{neighbour['strangers_only'][0]:.3f} among strangers")
    if calibration := result.get("calibration"):
        out.append(f"  temperature {calibration['temperature']:.2f}, fitted on validation: ECE "
                   f"{calibration['ece before']:.3f} → {calibration['ece after']:.3f}")
    for way, scores in result["aggregation"].items():
        out.append(f"  patients by {way}: balanced accuracy {scores['balanced_accuracy']:.3f}, "
                   f"AUROC {scores['auroc']:.3f}")
    for unit, scores in result.get("against", {}).items():
        for name in ("balanced_accuracy", "auroc"):
            row = scores[name]
            out.append(f"  minus {rival}, per {unit}, {WORDS[name]}: {row['difference']:+.3f} "
                       f"[{row['low']:+.3f} to {row['high']:+.3f}]")
    return out


def figures(result: dict, stamps: list[str]) -> dict:
    """file name → (figure, description)."""
    names, table, p = result["classes"], result["_table"], result["_p"]
    people, labels, subjects = result["_patients"]
    size, stages = len(names), result["_stages"]

    def confusion(q: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.bincount(y * size + q.argmax(axis=1), minlength=size * size).reshape(size, size)

    made = {"confusion_patients.png": (plot_confusion_matrix(confusion(people, labels), names, make_title(
                "patients", stamps)), "confusion matrix of patients"),
            "confusion_slices.png": (plot_confusion_matrix(confusion(p, table["label"].to_numpy()), names, make_title(
                "slices", stamps)), "confusion matrix of slices")}
    healthy = healthy_class(names)
    if healthy is not None and 0 < (labels != healthy).sum() < len(labels):
        made["roc.png"] = (plot_roc(1 - people[:, healthy], labels != healthy, subjects, make_title(
            "patients, diseased or not", stamps)), "ROC of diseased or not, with its band")
    rank = np.argsort(stages)
    made["stages.png"] = (plot_score_by_stage((people * rank).sum(axis=1), rank[labels], [names[k] for k in stages],
                                              make_title("patients", stamps)), "expected stage against true class")
    if calibration := result.get("calibration"):
        after = f"after T = {calibration['temperature']:.2f} (ECE {calibration['ece after']:.3f})"
        curves = {f"before (ECE {calibration['ece before']:.3f})": calibration["before"], after: calibration["after"]}
        made["reliability.png"] = (plot_reliability(curves, make_title("slices", stamps)), "reliability")
    return made


def write(out: Path, result: dict, stamps: list[str], picture: Callable[[str], np.ndarray],
          run: Path | None) -> None:
    """predictions.csv, metrics.json, the figures and report.html into `out`; the report of `run` too, if given."""
    out.mkdir(parents=True, exist_ok=True)
    table, p, names = result["_table"], result["_p"], result["classes"]
    predictions = prediction_table(table["path"], table["subject"], table["label"].to_numpy(), p, names)
    write_table(out / "predictions.csv", predictions)
    plain = {name: value for name, value in result.items() if not name.startswith("_")}
    write_json(out / "metrics.json", plain | {"stamps": stamps} | provenance())
    drawn = figures(result, stamps)
    for name, (figure, _) in drawn.items():
        write_atomically(out / name, lambda file, figure=figure: figure.savefig(file, format="png", dpi=120))
    sections = page_sections(result, drawn, picture)
    write_text(out / "report.html", html_page.page("Evaluation", stamps, sections))
    if run is not None and (run / "metrics.json").is_file():
        write_report(run, sections)


def page_sections(result: dict, drawn: dict, picture: Callable[[str], np.ndarray]) -> list[tuple[str, str]]:
    """(heading, HTML) of an evaluation."""
    sections = []
    for unit in ("patient", "slice"):
        rows = [[WORDS[name], f"{s['value']:.3f} [{s['low']:.3f} to {s['high']:.3f}]", f"{s['constant']:.3f}",
                 f"{s['null']:.3f}" if "null" in s else "", f"{s['p']:.4f}" if "p" in s else "", s.get("verdict", "")]
                for name, s in result[unit]["scores"].items()]
        sections.append((f"Scores per {unit}", html_page.table(
            [f"{result[unit]['count']} {unit}s", "value [95 % interval over patients]", f"always {result['largest']}",
             "shuffled labels", "p (floor 0.0005)", "verdict"], rows)))
    rows = [[row["class"], row["people"], *(f"{row[what]:.3f}" if what in row else f"fewer than {FEW} people"
                                           for what in ("sensitivity", "specificity", "auroc"))]
            for row in result["patient"]["classes"]]
    sections.append(("Classes, per patient", html_page.table(
        ["class", "people", "sensitivity", "specificity", "AUROC"], rows)))
    rows = [[way, f"{s['accuracy']:.3f}", f"{s['balanced_accuracy']:.3f}", f"{s['auroc']:.3f}"]
            for way, s in result["aggregation"].items()]
    sections.append(("From slices to a patient", html_page.table(
        ["way", "accuracy", "balanced accuracy", "AUROC"], rows)))
    sections.append(("Figures", "".join(html_page.picture(figure, words) for figure, words in drawn.values())))
    p, table = result["_p"], result["_table"]
    wrong = np.flatnonzero(p.argmax(axis=1) != table["label"])
    worst = wrong[np.argsort(p[wrong, table["label"].to_numpy()[wrong]])][:12]
    thumbs = [(picture(table["path"][row]), f"{table['class'][row]} called {result['classes'][p[row].argmax()]} "
               f"({p[row].max():.0%}), {table['who'][row]}") for row in worst]
    sections.append((f"Worst mistakes ({len(wrong)} of {len(p)} slices are wrong)", html_page.thumbnails(thumbs)))
    return sections
