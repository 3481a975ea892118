import re

import numpy as np
import pytest

from functions.evaluation.auroc import auroc_interval
from functions.evaluation.scores import TOO_GOOD_AUROC, TOO_GOOD_PATIENTS
from functions.reports.evaluation_report import evaluate_all
from functions.reports.evaluation_text import headline, lines, notes, page_sections, smallest_p
from functions.reports.html_page import page
from tests.functions.reports.test_evaluation_report import NAMES, parts, result  # noqa: F401
from tests.functions.reports.test_html_page import read


def test_the_page_begins_with_the_answer_and_holds_tables_and_the_comparison(result):  # noqa: F811
    sections = page_sections(result, "<p>figures</p>", lambda path: np.zeros((9, 9), np.uint8))
    headings = [heading for heading, _ in sections]
    assert headings[:5] == ["Result", "Scores per patient", "Classes, per patient", "Scores per slice",
                            "Classes, per slice"]
    assert "Difference to the other run, on the same patients" in headings
    assert re.search(r"40 patients, AUROC, diseased or not 0\.\d+ \[0\.\d+ to 0\.\d+\], p = 0\.0005: better than "
                     "always predicting NonDemented", sections[0][1])
    shown = " ".join(read(page("x", [], sections)).text)
    for words in (*NAMES, "nearest image", "permuted labels", "majority of slices", "its minimum is 1/2001 = 0.0005",
                  "They do not include the variation between splits and seeds"):
        assert words in shown, words
    worst = dict(sections)[headings[-1]]
    shown = re.findall(r"<figcaption>[^<]*, ([^<,]*)</figcaption>", worst)
    assert len(set(shown)) == len(shown) == min(12, len(set(shown))) > 3, "one a patient"


def test_a_score_that_is_not_defined_is_said_to_be_so(result):  # noqa: F811
    broken = result | {"patient": result["patient"] | {"scores": {"auroc_disease": {
        "value": np.nan, "low": np.nan, "high": np.nan, "constant": np.nan, "nearest": None, "p": np.nan,
        "verdict": "not scored"}}}}
    [(_, first), (_, content), *_] = page_sections(broken, "", lambda path: np.zeros((9, 9), np.uint8))
    assert "not scored, fewer than 5 patients" in first
    assert "not scored" in content
    assert "nan" not in content
    assert smallest_p(broken) == 1 / 2001


def test_the_floor_of_p_is_that_of_the_permutations_that_were_made():
    probabilities, tables = parts()
    few = evaluate_all(probabilities, tables, NAMES, [1, 2, 0], 1, probabilities["test"], resamples=49)
    assert few["patient"]["scores"]["auroc_disease"]["p"] == 1 / 50
    shown = " ".join(read(page("x", [], page_sections(few, "", lambda path: np.zeros((9, 9), np.uint8)))).text)
    for text in ("\n".join(lines(few, [], "x.pt", "")), shown):
        assert "its minimum is 1/50 = 0.02" in text
        assert "0.0005" not in text
        assert "2,000" not in text


@pytest.mark.parametrize(("verdict", "words"), [
    ("better", "better than ALWAYS"), ("better, on patients it was trained on",
                                       "better than ALWAYS, on patients it was trained on"),
    ("not shown to be better", "not shown to be better than ALWAYS"),
    ("too good: check the split", "too good: check the split")])
def test_the_verdict_is_one_sentence_beside_its_p_value(result, verdict, words):  # noqa: F811
    score = result["patient"]["scores"]["auroc_disease"] | {"verdict": verdict, "p": 0.008}
    judged = result | {"patient": result["patient"] | {"scores": {"auroc_disease": score}}}
    assert headline(judged).endswith(
        "p = 0.008: " + words.replace("ALWAYS", "always predicting NonDemented"))
    assert any("the interval begins above 0.94" in note for note in notes(judged)) == verdict.startswith("too good")


def test_the_notes_say_from_how_many_patients_too_good_is_possible(result):  # noqa: F811
    """67 of equal sides and 103 of 1:4 (the comment on TOO_GOOD_PATIENTS), and never of 32, as on many splits."""
    assert auroc_interval(1.0, 33, 33)[0] < TOO_GOOD_AUROC < auroc_interval(1.0, 34, 33)[0]
    assert auroc_interval(1.0, 20, 82)[0] < TOO_GOOD_AUROC < auroc_interval(1.0, 21, 82)[0]
    assert 67 <= TOO_GOOD_PATIENTS <= 75
    [note] = [note for note in notes(result) if "its absence says nothing about a leak" in note]
    assert "requires about 70 patients" in note
    mean = {"auroc": result["patient"]["scores"]["auroc"] | {"verdict": "better"}}
    nobody_healthy = result | {"primary": "auroc", "patient": result["patient"] | {"scores": mean}}
    assert not any("absence" in note for note in notes(nobody_healthy))
    assert any("Simulated for 20 to 120 patients (AUROC of diseased or not from 10)" in note for note in notes(result))


@pytest.mark.parametrize(("times", "said"), [(1, False), (2, True)])
def test_one_note_says_where_the_number_of_slices_follows_the_class(times, said):
    """The median of healthy patients against that of the diseased: 5 each, or 10 and 5."""
    probabilities, tables = parts()
    table = tables["test"]
    rows = np.repeat(np.arange(len(table)), np.where(table["label"] == 1, times, 1))
    tables = {"test": table.iloc[rows].reset_index(drop=True)}
    found = evaluate_all({"test": probabilities["test"][rows]}, tables, NAMES, [1, 2, 0], 1, resamples=19)
    said_so = [note for note in notes(found) if "neither p-value nor interval is valid" in note]
    assert len(said_so) == said
    assert all("10 of healthy, 5 of diseased" in note for note in said_so)
