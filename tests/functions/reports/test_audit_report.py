from pathlib import Path

import numpy as np

from functions.reports.audit_report import audit_content, audit_lines
from functions.reports.html_page import render
from tests.functions.reports.test_html_page import read

NUMBERS = {
    "balance": {"slices": 40, "patients": 10, "effective sample size": 11.0, "largest class": "CN",
                "intraclass correlation, assumed": 0.8, "slices of unknown patients": 0,
                "accuracy of always answering it": 0.6,
                "classes": {"AD": {"slices": 16, "patients": 4, "unassigned": 0},
                            "CN": {"slices": 24, "patients": 6, "unassigned": 0}}},
    "patients": {"known by name or table": 10, "from pixels": "cannot tell: too few"},
    "leak": {"by name": {"in several splits": 3, "patients": 10, "in test": 5},
             "nearest neighbour": {"as_split": (0.9, 0.8, 1.0), "other_patients": (0.5, 0.4, 0.6),
                                   "largest_class": 0.6}},
    "shortcuts": [{"trace": "name", "auroc": 0.9, "shuffled": 0.55, "apart": 0.17, "apart_shuffled": -0.04}],
    "damage": {"unreadable": ["a.png: truncated"], "odd": [], "no images": []},
}
FINDINGS = [{"what": "balance", "wrong": False, "text": "AD has four people"},
            {"what": "leak", "wrong": True, "text": "3 of 10 patients stand in more than one split, by name"}]


def page(findings=(), numbers=NUMBERS, examples=None, read_image=None):
    """The text that the page shows."""
    content = audit_content(list(findings), numbers, examples or {}, read_image)
    return " ".join(" ".join(read(render("audit.html.j2", "Audit of x", [], audit=content)).text).split())


def test_faults_come_first_and_nothing_is_left_out():
    lines = audit_lines(FINDINGS, NUMBERS, Path("data"))
    assert lines[-2:] == ["WRONG  3 of 10 patients stand in more than one split, by name", "note   AD has four people"]
    text = "\n".join(lines)
    for words in ("40 slices of 10 patients", "AD: 16 slices, 4 patients", "accuracy 60.0%", "cannot tell: too few",
                  "test slices: 90.0%"):
        assert words in text
    assert audit_lines([], NUMBERS, Path("data"))[-1] == "no problems found"


def test_the_assumption_behind_the_effective_sample_size_is_said():
    """Ten patients of four slices: 40 / (1 + 3 ICC) = 11.8 with the assumed ICC."""
    assumed = "about 11 (assuming an intraclass correlation of 0.8)"
    assert assumed in audit_lines(FINDINGS, NUMBERS, Path("data"))[0]
    shown = page()
    assert "effective sample size: about 11 (assuming an intraclass correlation of 0.8)" in shown


def test_an_interval_that_cannot_be_given_is_left_out():
    one = {"as_split": (0.9, float("nan"), float("nan")), "other_patients": (0.5, 0.4, 0.6), "largest_class": 0.6}
    numbers = NUMBERS | {"leak": {"nearest neighbour": one}}
    shown = page(numbers=numbers)
    assert "as split: 0.900" in shown
    assert "0.900 [" not in shown
    assert "other patients: 0.500 [0.400 to 0.600]" in shown
    assert "nan" not in shown


def test_the_page_says_the_same():
    black = np.zeros((9, 9), np.uint8)
    shown = page(FINDINGS, examples={"copies": ["x/train/AD/1.png"]}, read_image=lambda path: black)
    for words in ("3 of 10 patients", "AD has four people", "a.png: truncated", "train/AD/1.png", "0.55", "17%", " 0%",
                  "0.900"):
        assert words in shown


def test_the_page_begins_with_the_answer_and_stages_are_in_their_order():
    shown = page(FINDINGS)
    assert shown.index("1 problem found, 1 note") < shown.index("40 slices of 10 patients") < shown.index("3 of 10")
    assert "No problems found, 1 note" in page(FINDINGS[:1])
    assert "2 problems found" in page(FINDINGS[1:] * 2)
    assert shown.index("CN 24 6") < shown.index("AD 16 4"), "from healthy to severe"
    printed = [line.split(":")[0].strip() for line in audit_lines(FINDINGS, NUMBERS, Path("data"))]
    assert printed.index("CN") < printed.index("AD")
