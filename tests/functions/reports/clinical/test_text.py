from dataclasses import replace

import numpy as np
import pytest

from functions.evaluation.clinical.clinical import clinical
from functions.evaluation.clinical.results import Interval
from functions.reports.clinical.text import lines, notes, rows, tables, text
from tests.functions.evaluation.cohorts import predictions


@pytest.fixture(scope="module")
def found():
    return clinical(predictions("test"), predictions("val"), 0.1)


def test_every_answer_has_its_row_with_its_interval(found):
    shown, point = dict(rows(found)), found.operating_point
    assert shown[f"sensitivity at P(diseased) > {point.threshold:.3f}"] == text(point.sensitivity)
    assert shown["PPV at a prevalence of 10.0%"] == text(point.predictive[1].ppv)
    assert shown["NPV at a prevalence of 10.0%"] == text(point.predictive[1].npv)
    assert shown["calibration slope (1 is right, below: too extreme)"] == text(found.recalibration.slope)
    assert sum("net benefit" in what for what in shown) == 4
    [(_, [table])] = tables(found)
    assert table.rows == rows(found)
    printed = "\n".join(lines(found))
    assert all(what in printed and value in printed for what, value in shown.items())


def test_what_is_missing_is_a_note_and_no_row(found):
    without = clinical(predictions("test"), None)
    assert not any("sensitivity" in what for what, _ in rows(without))
    assert without.notes[0] in "\n".join(lines(without))
    assert any("fewer than 60 patients" in note for note in notes(found))
    assert f"{found.operating_point.validation_healthy} healthy validation patients" in " ".join(notes(found))
    nothing = clinical(replace(predictions(), class_names=["a", "b", "c"]), None)
    assert tables(nothing) == []
    assert lines(nothing) == [f"  ({nothing.notes[0]})"]
    assert text(Interval(np.nan)) == "not defined"
