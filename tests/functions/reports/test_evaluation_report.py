import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from functions.evaluation.clinical.clinical import clinical
from functions.evaluation.evaluate import evaluate
from functions.evaluation.evaluation import read_metrics
from functions.reports.evaluation_plots import main_figures, more_figures
from functions.reports.evaluation_report import write
from functions.reports.evaluation_text import lines, with_interval
from tests.functions.evaluation.cohorts import NAMES, predictions
from tests.functions.reports.test_html_page import read


def figures(*arguments):
    return main_figures(*arguments) | more_figures(*arguments)


@pytest.fixture(scope="module")
def evaluation():
    """With everything that evaluate.py can give."""
    test = predictions()
    other = np.full_like(test.probabilities, 1 / 3)
    return evaluate(test, "NonDemented", [1, 2, 0], val=predictions("val"), other=other, rival="runs/y",
                    nearest=(test.labels, np.roll(test.labels, 1)))


def unknown(**more):
    """No patient is known, the classes have no order, and few patients each."""
    test = predictions(names=["a", "b", "c"])
    test = replace(test, given_subjects=[None] * len(test.labels))
    return evaluate(test, "b", None, **more), test


def test_patients_have_intervals_and_one_verdict_and_slices_have_values(evaluation):
    for scored in evaluation.units.values():
        assert set(scored.scores) == {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "auroc_disease", "kappa",
                                      "brier", "ece"}
        assert scored.scores["accuracy"].nearest == 1
    scores = evaluation.patient.scores
    assert scores["auroc_disease"].p == pytest.approx(1 / 2001)
    assert [name for name, score in scores.items() if score.verdict] == [evaluation.primary] == ["auroc_disease"]
    assert not any(np.isfinite(score.p) for score in evaluation.slice.scores.values())
    for row in evaluation.patient.classes:
        for score in (row.sensitivity, row.specificity, row.auroc):
            assert score.low <= score.value <= score.high
    assert evaluation.nearest_neighbour["other patients"]["slice"]["accuracy"] < 1
    assert (evaluation.slice.count, evaluation.patient.count) == (200, 40)
    assert set(evaluation.aggregation) == {"mean probability", "median probability", "majority of slices"}
    mean = evaluation.aggregation["mean probability"]["auroc"]
    assert (mean.value, mean.low, mean.high) == (scores["auroc"].value, scores["auroc"].low, scores["auroc"].high)
    assert evaluation.calibration.ece_after != evaluation.calibration.ece_before
    assert evaluation.against["auroc"].value > 0.1
    assert "ece" not in evaluation.against


def test_the_temperature_comes_from_validation_alone(evaluation):
    test = predictions()
    other = replace(test, probabilities=test.probabilities[::-1])
    again = evaluate(other, "NonDemented", [1, 2, 0], val=predictions("val"), permutations=0)
    assert again.calibration.temperature == evaluation.calibration.temperature
    assert again.calibration.ece_before != evaluation.calibration.ece_before


def test_without_an_order_of_stages_there_is_no_kappa_anywhere():
    found, test = unknown(other=predictions().probabilities, nearest=[predictions().labels] * 2, permutations=0)
    assert "kappa" not in repr(found)
    assert found.calibration is None


def test_without_known_patients_there_is_nothing_about_patients():
    found, test = unknown()
    assert (found.patient, found.aggregation, found.against) == (None, {}, {})
    text = "\n".join(lines(found, ["PATIENTS UNKNOWN"], "x.pt"))
    assert "no verdict: the patients are unknown" in text
    assert "no interval, no p-value and no verdict" in text
    assert "per patient" not in text
    assert set(figures(found, test, [])) == {"confusion_slices.png", "roc.png"}


def test_figures_show_no_shares_of_classes_with_few_patients():
    test = predictions()
    few = np.unique(test.subjects[test.labels == 2])[:3]
    keep = np.flatnonzero((test.labels != 2) | np.isin(test.subjects, few))
    test = replace(test, paths=[test.paths[row] for row in keep], labels=test.labels[keep],
                   given_subjects=[test.given_subjects[row] for row in keep], probabilities=test.probabilities[keep])
    found = evaluate(test, "NonDemented", [1, 2, 0])
    for name in ("confusion_patients.png", "confusion_slices.png"):
        shown = [text.get_text() for text in figures(found, test, [])[name][0].axes[0].texts]
        assert ["%" in text for text in shown] == [True] * 3 + [False] * 3 + [True] * 3, "the second stage"
        [hatched] = figures(found, test, [])[name][0].axes[0].patches
        assert (hatched.get_hatch(), hatched.get_y(), hatched.get_width()) == ("///", 0.5, 3)
    text = "\n".join(lines(found, [], "x.pt"))
    assert re.search(r"VeryMildDemented +3 patients  counts only: fewer than 5 patients", text)
    assert "not scored, fewer than 5 patients, and excluded from means over classes: VeryMildDemented 3" in text


def roc_labels(found, test):
    texts = figures(found, test, [])["roc.png"][0].legends[0].get_texts()
    return [text.get_text().split(": ")[1] for text in texts if "chance" not in text.get_text()]


def test_the_curve_shows_the_interval_of_the_table_and_none_where_that_has_none(evaluation):
    """Patients of several labels, and of too few, have rows and no interval."""
    test = predictions()
    shown = [evaluation.patient.scores["auroc_disease"], *(evaluation.patient.classes[k].auroc for k in (2, 0))]
    assert roc_labels(evaluation, test) == [f"AUROC {with_interval(score)}" for score in shown]
    subjects = [re.sub(r"(\d)$", lambda m: str(int(m[1]) // 2 * 2), subject) for subject in test.given_subjects]
    for names in (NAMES, ["a", "b", "c"]):
        both = replace(test, given_subjects=subjects, class_names=names)
        assert not any("[" in label for label in roc_labels(evaluate(both, names[1], [1, 2, 0], permutations=9), both))
    others = replace(test, class_names=["a", "b", "c"])
    rows = evaluate(others, "b", None, permutations=9).patient.classes
    assert all(np.isfinite(row.auroc.low) for row in rows)
    assert roc_labels(evaluate(others, "b", None, permutations=9), others) == [
        f"AUROC {with_interval(row.auroc)}" for row in rows]


def test_it_is_printed_and_written(evaluation, tmp_path):
    text = "\n".join(lines(evaluation, ["LEAKY SPLIT"], "runs/x/best.pt"))
    for words in ("LEAKY SPLIT", "per patient, n = 40",
                  "better than always predicting NonDemented",
                  "its minimum is 1/2001", "minus runs/y, per patient", "always: always predicting NonDemented",
                  "temperature", "permuted", "nearest"):
        assert words in text, words
    test = predictions()
    answered = replace(evaluation, clinical=clinical(test, predictions("val"), 0.1))
    write(tmp_path / "out", answered, test, ["LEAKY SPLIT"], "runs/x/best.pt",
          lambda path: np.zeros((20, 16), np.uint8), None)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.csv", "metrics.json", "report.html", "confusion_patients.png", "confusion_slices.png", "roc.png",
        "reliability.png", "stages.png", "precision_recall.png", "calibration.png", "decision_curve.png"}
    metrics = read_metrics(tmp_path / "out/metrics.json")
    assert (metrics.caveats, metrics.checkpoint) == (["LEAKY SPLIT"], "runs/x/best.pt")
    assert metrics.test.patient.scores["accuracy"] == evaluation.patient.scores["accuracy"] or np.isnan(
        metrics.test.patient.scores["accuracy"].p)
    assert "versions" in json.loads((tmp_path / "out/metrics.json").read_text())
    page = (tmp_path / "out/report.html").read_text()
    assert len(page) < 2e6
    for name, size in (("roc.png", 4.6), ("stages.png", 4.6)):
        assert Image.open(tmp_path / "out" / name).width == size * 300, "for print"
    shown = " ".join(read(page).text)
    for words in ("LEAKY SPLIT", "Worst errors", "better than always predicting NonDemented", "sensitivity",
                  "runs/x/best.pt", "PPV at a prevalence of 10.0%", "Net benefit of treating"):
        assert words in shown
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert len(table) == 200
    assert set(table["stamps"]) == {"LEAKY SPLIT"}, "a table travels without its folder"
    for figure, _ in figures(evaluation, test, ["LEAKY SPLIT"]).values():
        assert "LEAKY SPLIT" in figure.get_suptitle()
