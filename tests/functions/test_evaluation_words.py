import re

import numpy as np

from functions.evaluation_words import FLOOR, notes, page_sections
from functions.html_page import page
from tests.functions.test_evaluation_report import NAMES, result  # noqa: F401
from tests.functions.test_html_page import read


def test_the_page_holds_tables_with_intervals_chance_and_the_comparison(result):  # noqa: F811
    sections = page_sections(result, "<p>figures</p>", lambda path: np.zeros((9, 9), np.uint8))
    headings = [heading for heading, _ in sections]
    assert headings[:4] == ["Scores per patient", "Classes, per patient", "Scores per slice", "Classes, per slice"]
    assert "Minus the other run, on the same slices" in headings
    shown = " ".join(read(page("x", [], sections)).text)
    for words in (*NAMES, "nearest picture", "shuffled labels", "verdict", "majority of slices", FLOOR):
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
    assert FLOOR in notes(broken)
