import re
from dataclasses import replace

import numpy as np
import pytest

from functions.evaluation.auroc import auroc_interval
from functions.evaluation.evaluate import TOO_GOOD_AUROC, TOO_GOOD_PATIENTS, evaluate
from functions.evaluation.evaluation import Score
from functions.reports.evaluation_plots import main_figures, more_figures
from functions.reports.evaluation_report import page_content
from functions.reports.evaluation_text import (
    evaluation_content,
    headline,
    lines,
    notes,
    number,
    score_lines,
    summary_lines,
    with_interval,
)
from functions.reports.html_page import render
from tests.functions.evaluation.cohorts import NAMES, predictions
from tests.functions.reports.test_evaluation_report import evaluation, unknown  # noqa: F401
from tests.functions.reports.test_html_page import read


def with_score(evaluation, name, score):  # noqa: F811
    """The evaluation with another patient score."""
    patient = evaluation.patient
    return replace(evaluation, patient=replace(patient, scores=patient.scores | {name: score}))


def page(evaluation, test=None):  # noqa: F811
    """The page and the text that it shows, one space between words."""
    content = evaluation_content(evaluation, []) if test is None else page_content(
        evaluation, test, main_figures(evaluation, test, []), more_figures(evaluation, test, []),
        lambda path: np.zeros((9, 9), np.uint8))
    made = render("evaluation.html.j2", "x", [], evaluation=content)
    return made, " ".join(" ".join(read(made).text).split())


def test_the_answer_says_if_one_class_is_predicted_for_nearly_all_slices(evaluation):  # noqa: F811
    """The AUROC is of the ranking of probabilities: it can be high although the classes are not told apart."""
    assert "is predicted for" not in headline(evaluation)
    one = replace(evaluation, predicted={"MildDemented": 4, "NonDemented": 194, "VeryMildDemented": 2})
    assert headline(one).endswith("(p = 0.0005); NonDemented is predicted for 97% of slices")
    assert sum(evaluation.predicted.values()) == evaluation.slice.count
    assert "is predicted for" not in headline(replace(evaluation, predicted={}))
    score = replace(evaluation.patient.scores["auroc_disease"], value=0.2, low=0.1, high=0.35, p=1.0,
                    verdict="not shown to be better")
    assert "worse than chance, below the whole interval: not shown" in headline(
        with_score(evaluation, "auroc_disease", score))


def test_an_undefined_value_or_interval_is_not_shown_as_certain():
    assert with_interval(Score(0.5, 0.4, 0.6)) == "0.500 [0.400 to 0.600]"
    assert with_interval(Score(1.0, 1.0, 1.0)) == "1.000"
    assert with_interval(Score(0.5)) == "0.500"
    assert with_interval(Score(np.nan, 0, 1)) == "not scored"
    assert [number(value) for value in (-0.0001, -0.2, np.nan)] == ["0.000", "-0.200", "-"]


def test_the_summary_has_the_scores_of_patients_and_slices_beside_the_constant_prediction(evaluation):  # noqa: F811
    lines = summary_lines(evaluation)
    assert lines[0] == headline(evaluation)
    assert re.split(r" {2,}", lines[1].strip()) == ["per patient", "always NonDemented", "per slice",
                                                    "always NonDemented"]
    patient, slices = (evaluation.units[unit].scores["balanced_accuracy"] for unit in ("patient", "slice"))
    assert re.split(r" {2,}", lines[3]) == [
        "balanced accuracy", with_interval(patient), "0.333", f"{slices.value:.3f}", "0.333"]
    assert re.split(r" {2,}", lines[6].strip()) == ["class, per patient", "sensitivity (recall)", "precision (PPV)"]
    rows = {row.name: row for row in evaluation.patient.classes}
    for name, line in zip(("NonDemented", "VeryMildDemented", "MildDemented"), lines[7:10], strict=True):
        assert re.split(r" {2,}", line) == [name, with_interval(rows[name].sensitivity),
                                            f"{rows[name].precision.value:.3f}"]
    assert len(lines) == 11
    assert re.search(r"test patients: NonDemented \d+, VeryMildDemented \d+, MildDemented \d+; \[95 %", lines[10])


def test_a_class_without_a_precision_says_why(evaluation):  # noqa: F811
    def shown(precision):
        classes = [replace(row, precision=precision) for row in evaluation.patient.classes]
        return summary_lines(replace(evaluation, patient=replace(evaluation.patient, classes=classes)))[7].split()[-1]

    assert shown(Score(np.nan)) == "predicted"              # never predicted
    assert shown(None) == "-"                               # a file of an earlier version


def test_the_summary_of_unknown_patients_has_slices_alone_and_no_interval():
    text = "\n".join(summary_lines(unknown(permutations=0)[0]))
    assert "per patient" not in text
    assert "patients unknown: no intervals" in text
    assert "[" not in text
    assert "nan" not in text


def test_the_summary_names_classes_with_too_few_patients():
    test = predictions()
    two = np.isin(test.subjects, [test.subjects[test.labels == k][0] for k in (0, 1)])
    test = replace(test, paths=np.array(test.paths)[two].tolist(), labels=test.labels[two],
                   given_subjects=test.subjects[two].tolist(), probabilities=test.probabilities[two])
    found = evaluate(test, NAMES[1], None)
    text = "\n".join(summary_lines(found))
    assert "[" not in "\n".join(score_lines(found)), "an interval without width"
    assert "AUROC of diseased or not: not scored" in text
    assert "fewer than 5 patients, not scored and excluded from means: MildDemented 1, NonDemented 1" in text


def test_the_page_begins_with_the_answer_and_the_figures_and_holds_tables_and_the_comparison(evaluation):  # noqa: F811
    made, shown = page(evaluation, predictions())
    headings = ["Scores per patient", "Classes, per patient", "Scores per slice", "Classes, per slice",
                "Difference to runs/y, on the same patients", "Aggregation of slices to patients",
                "Notes on the scores", "Further figures", "Worst errors"]
    places = [made.index(f">{heading}") for heading in headings]
    assert places == sorted(places)
    assert re.search(r"40 patients: AUROC of diseased or not 0\.\d+ \[0\.\d+ to 0\.\d+\] better than always "
                     r"predicting NonDemented \(p = 0\.0005\) test patients: NonDemented", shown)
    assert made.index("40 patients: AUROC") < made.index("ROC curves of") < made.index("Confusion matrix") < places[0]
    for words in (*NAMES, "nearest image", "permuted labels", "majority of slices", "its minimum is 1/2001 = 0.0005",
                  "They do not include the variation between splits and seeds"):
        assert words in shown, words
    patients = [caption.rsplit(", ", 1)[1] for caption in re.findall("<figcaption>([^<]*predicted as[^<]*)<", made)]
    assert len(set(patients)) == len(patients) == min(12, len(set(patients))) > 3, "one a patient"


def test_notes_stand_on_the_page_once_and_unit_by_unit_nowhere(evaluation):  # noqa: F811
    shown = page(evaluation, predictions())[1]
    for note in notes(evaluation):
        assert shown.count(note) == 1


def test_classes_are_in_stage_order_wherever_they_are_listed(evaluation):  # noqa: F811
    staged = [NAMES[1], NAMES[2], NAMES[0]]
    listed = [line.split()[0] for line in lines(evaluation, [], "x.pt") if line.split()[0] in NAMES]
    assert listed == staged
    for _, tables in evaluation_content(evaluation, []).tables[:2]:
        assert [row[0] for row in tables[1].rows] == staged
    unordered = replace(evaluation, order=None)
    assert [row[0] for row in evaluation_content(unordered, []).tables[0][1][1].rows] == NAMES


def test_references_that_no_score_has_are_no_columns(evaluation):  # noqa: F811
    [_, [table, _]] = evaluation_content(evaluate(predictions(), NAMES[1], None, permutations=0), []).tables[0]
    assert table.head[2:] == ["always NonDemented"]


def test_a_score_that_is_not_defined_is_said_to_be_so(evaluation):  # noqa: F811
    broken = with_score(evaluation, "auroc_disease", Score(np.nan, verdict="not scored"))
    made, shown = page(broken, predictions())
    assert "AUROC of diseased or not: not scored, fewer than two groups with at least 5 patients" in shown
    assert "AUROC, diseased or not not scored" in shown
    assert "nan" not in re.sub('data:[^"]*', "", made)


def test_the_floor_of_p_is_that_of_the_permutations_that_were_made():
    test = predictions()
    few = evaluate(test, NAMES[1], [1, 2, 0], other=test.probabilities, permutations=49)
    assert few.patient.scores["auroc_disease"].p == 1 / 50
    shown = page(few)[1]
    for text in ("\n".join(lines(few, [], "x.pt")), shown):
        assert "its minimum is 1/50 = 0.02" in text
        assert "0.0005" not in text
        assert "2,000" not in text


@pytest.mark.parametrize(("verdict", "p", "words"), [
    ("better", 0.008, "better than ALWAYS"),
    ("better, on patients it was trained on", 0.008, "better than ALWAYS, on patients it was trained on"),
    ("not shown to be better", 0.08, "not distinguishable from chance: not shown to be better than ALWAYS"),
    ("not shown to be better", 0.03, "the interval includes chance: not shown to be better than ALWAYS"),
    ("too good: check the split", 0.008, "too good: check the split")])
def test_the_verdict_is_one_sentence_with_its_p_value(evaluation, verdict, p, words):  # noqa: F811
    score = replace(evaluation.patient.scores["auroc_disease"], verdict=verdict, p=p)
    judged = with_score(evaluation, "auroc_disease", score)
    assert headline(judged).endswith(f"], {words.replace('ALWAYS', 'always predicting NonDemented')} (p = {p})")
    assert any("the interval begins above 0.94" in note for note in notes(judged)) == verdict.startswith("too good")


def test_the_notes_say_from_how_many_patients_too_good_is_possible(evaluation):  # noqa: F811
    """67 of equal sides and 103 of 1:4 (the comment on TOO_GOOD_PATIENTS), and never of 32, as on many splits."""
    assert auroc_interval(1.0, 33, 33)[0] < TOO_GOOD_AUROC < auroc_interval(1.0, 34, 33)[0]
    assert auroc_interval(1.0, 20, 82)[0] < TOO_GOOD_AUROC < auroc_interval(1.0, 21, 82)[0]
    assert 67 <= TOO_GOOD_PATIENTS <= 75
    [note] = [note for note in notes(evaluation) if "absence of this verdict does not exclude leakage" in note]
    assert "requires about 70 patients" in note
    nobody_healthy = replace(evaluation, primary="auroc")
    assert not any("absence" in note for note in notes(nobody_healthy))
    words = "Coverage was simulated for 20 to 120 patients (AUROC of diseased or not from 10)"
    assert any(words in note for note in notes(evaluation))


@pytest.mark.parametrize(("times", "said"), [(1, False), (2, True)])
def test_one_note_says_where_the_number_of_slices_follows_the_class(times, said):
    """The median of healthy patients against that of the diseased: 5 each, or 10 and 5."""
    test = predictions()
    rows = np.repeat(np.arange(len(test.labels)), np.where(test.labels == 1, times, 1))
    test = replace(test, paths=[test.paths[row] for row in rows], labels=test.labels[rows],
                   given_subjects=[test.given_subjects[row] for row in rows], probabilities=test.probabilities[rows])
    found = evaluate(test, NAMES[1], [1, 2, 0], permutations=19)
    said_so = [note for note in notes(found) if "neither the p-value nor the interval is valid" in note]
    assert len(said_so) == said
    assert all("10 of healthy, 5 of diseased" in note for note in said_so)
