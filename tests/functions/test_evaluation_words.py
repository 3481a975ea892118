import re

import numpy as np
import pytest

from functions.evaluation_report import evaluate_all
from functions.evaluation_words import floor, lines, notes, page_sections
from functions.html_page import page
from tests.functions.test_evaluation_report import NAMES, parts, result  # noqa: F401
from tests.functions.test_html_page import read


def test_the_page_holds_tables_with_intervals_chance_and_the_comparison(result):  # noqa: F811
    sections = page_sections(result, "<p>figures</p>", lambda path: np.zeros((9, 9), np.uint8))
    headings = [heading for heading, _ in sections]
    assert headings[:4] == ["Scores per patient", "Classes, per patient", "Scores per slice", "Classes, per slice"]
    assert "Minus the other run, on the same slices" in headings
    shown = " ".join(read(page("x", [], sections)).text)
    for words in (*NAMES, "nearest picture", "shuffled labels", "verdict", "majority of slices",
                  "its floor is 1/2001 = 0.0005", "p (floor 0.0005)"):
        assert words in shown, words
    worst = dict(sections)[headings[-1]]
    shown = re.findall(r"<figcaption>[^<]*, ([^<,]*)</figcaption>", worst)
    assert len(set(shown)) == len(shown) == min(12, len(set(shown))) > 3, "one a patient"


def test_a_score_that_is_not_defined_is_said_to_be_so(result):  # noqa: F811
    broken = result | {"patient": result["patient"] | {"scores": {"auroc": {
        "value": float("nan"), "low": float("nan"), "high": float("nan"), "constant": float("nan"), "nearest": None}}}}
    [(_, content), *_] = page_sections(broken, "", lambda path: np.zeros((9, 9), np.uint8))
    assert "not measurable" in content
    assert "nan" not in content
    assert floor(broken) == 1 / 2001


def test_the_number_of_resamples_and_the_floor_of_p_are_those_that_were_used():
    probabilities, tables = parts()
    few = evaluate_all(probabilities, tables, NAMES, [1, 2, 0], 1, probabilities["test"], resamples=49)
    assert few["patient"]["scores"]["auroc"]["p"] == 1 / 50
    assert len({few["slice"]["scores"]["auroc"]["p"], few["patient"]["scores"]["auroc"]["p"]}) == 1
    shown = " ".join(read(page("x", [], page_sections(few, "", lambda path: np.zeros((9, 9), np.uint8)))).text)
    for text in ("\n".join(lines(few, [], "x.pt", "")), shown):
        assert "intervals: 49 resamples of patients" in text
        assert "its floor is 1/50 = 0.02" in text
        assert "0.0005" not in text
        assert "2,000" not in text
    assert "p (floor 0.02)" in shown


@pytest.mark.parametrize(("classes", "limits"), [
    (2, "balanced accuracy 0.90, AUROC, mean over classes 0.97"),
    (3, "balanced accuracy 0.75, AUROC, mean over classes 0.95")])
def test_what_is_called_too_good_is_said_with_its_limits(result, classes, limits):  # noqa: F811
    good = {name: score | {"verdict": "better than guessing"} for name, score in result["patient"]["scores"].items()}
    few = result | {"classes": NAMES[:classes], "patient": result["patient"] | {"scores": good}, "slice": {
        "scores": {}, "classes": result["slice"]["classes"]}}
    assert not any("too good" in note for note in notes(few))
    good["auroc"]["verdict"] = "too good: check the split"
    [note] = [note for note in notes(few) if note.startswith("too good: above ")]
    assert limits in note
