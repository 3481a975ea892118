import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from functions.app.answer import Answer, Similar, SliceAnswer
from functions.app.fragments import (
    answer_html,
    flags_of,
    head_html,
    map_html,
    message_html,
    notes_html,
    research_only_html,
    similar_html,
)
from functions.explain.faithfulness import Faithfulness
from functions.prediction.rows import ImageRow
from functions.reports.html_page import Picture
from functions.runtime.errors import UserError

HOSTILE = "<script>alert(1)</script>\" onerror='x' \x1b[2J"


def slice_answer(name="a.png", p=(0.2, 0.7, 0.1), **row):
    probabilities = np.array(p)
    return SliceAnswer(name, ImageRow(name, None, probabilities, **row), probabilities, torch.rand(1, 16, 12),
                       (Similar("/a.png", "AD", 1.25), Similar("/b.png", "CN", 2.5)))


def text(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_the_answer_shows_the_mean_each_slice_and_each_error(predictor):
    answer = Answer([slice_answer("a.png", (0.2, 0.7, 0.1)), SliceAnswer("b.png", ImageRow("b.png", error="empty")),
                     slice_answer("c.png", (0.6, 0.3, 0.1))], [])
    shown = answer_html(answer, predictor)
    assert "Class probabilities, mean over 2 slices AD 40.0% CN 50.0% MCI 10.0%" in text(shown)
    assert re.findall(r'<li class="vd-largest">\s*<span class="vd-class">(\w+)', shown) == ["CN"]
    assert re.findall(r'width: ([\d.]+)%', shown) == ["40.0", "50.0", "10.0"]
    assert f"temperature T = {predictor.temperature:.2f}, fitted to 12 validation slices" in text(shown)
    assert "Not predicted b.png : empty Slices a.png CN 70.0% c.png AD 60.0%" in text(shown)
    assert len(re.findall(r'src="data:image/jpeg', shown)) == 2


def test_an_answer_without_validation_slices_says_that_it_is_not_calibrated(uncalibrated):
    shown = text(answer_html(Answer([slice_answer()], []), uncalibrated))
    assert "Class probabilities AD 20.0%" in shown
    assert "not calibrated" in shown
    assert "not calibrated" in text(notes_html(uncalibrated))
    assert "not flagged" in text(notes_html(uncalibrated))


def test_the_notes_say_how_the_threshold_was_chosen(predictor):
    assert "that at most 5% of the 12 validation slices exceed" in text(notes_html(predictor))
    without = replace(predictor.reference, val=torch.zeros(0), val_labels=[])
    assert "colour images only" in text(notes_html(replace(predictor, reference=without)))


def test_an_answer_without_any_slice(predictor):
    shown = text(answer_html(Answer([SliceAnswer("b.png", ImageRow("b.png", error="empty"))], []), predictor))
    assert shown == "No slice could be predicted Not predicted b.png : empty"


@pytest.mark.parametrize(("row", "flags"), [
    ({"seen": "no", "outside": "no", "novelty": 0.5}, []), ({}, []),
    ({"seen": "pixels"}, ["seen in training: this slice, or a copy of it"]),
    ({"seen": "patient"}, ["seen in training: another slice of this patient"]),
    ({"outside": "features", "novelty": 3.21}, ["out of distribution: unlike the training slices (3.2 times the "
                                                "threshold)"]),
    ({"seen": "pixels", "outside": "colour", "novelty": 3.0},
     ["seen in training: this slice, or a copy of it", "out of distribution: a colour image"])])
def test_flags(row, flags, predictor):
    found = slice_answer(**row)
    assert flags_of(found) == flags
    shown = answer_html(Answer([found, slice_answer("b.png", seen="no", outside="no")], ["a note"]), predictor)
    assert re.findall(r'<span class="vd-flag">(.*)</span>', shown) == flags
    warnings = re.findall(r'<p class="vd-warning">(.*)</p>', shown)
    expected = [start for start in ("out of distribution: 1 of 2", "seen in training: 1 of 2")
                if any(flag.startswith(start.split(":")[0]) for flag in flags)]
    assert [warning[:len(start)] for warning, start in zip(warnings, [*expected, "a note"], strict=True)] == [
        *expected, "a note"]


def test_the_map_says_on_the_picture_and_below_it_whether_it_is_faithful(monkeypatch):
    drawn = []
    monkeypatch.setattr("functions.app.fragments.overlay_figure", lambda *arguments: drawn.append(arguments[3]))
    monkeypatch.setattr("functions.app.fragments.picture", lambda figure, text: Picture("", ""))
    fails = Faithfulness(0.1, 0.9, (0.5,) * 39, (0.9, 0.8, 0.9))
    passes = Faithfulness(0.9, 0.1, (0.5,) * 39, (0.0, 0.1, 0.0))
    shown = [map_html(slice_answer(), torch.ones(4, 3) / 12, "rollout", test) for test in (None, fails, passes)]
    assert drawn == ["not tested yet: its tests of faithfulness are running", fails.caveat, ""]
    assert [text(html).removeprefix("This map: ") for html in shown] == [
        drawn[0] + ".", "fails the insertion, deletion and randomisation tests.",
        "passes its tests of faithfulness: insertion, deletion, randomisation."]
    assert ["vd-flag" in html for html in shown] == [False, True, False]


def test_similar_slices_are_shown_where_their_files_are(predictor):
    def read_gray(path):
        if path == "/a.png":
            raise UserError("moved")
        return np.zeros((16, 12), np.uint8)

    shown = text(similar_html(slice_answer(), read_gray, 4.44))
    assert "it is 4.4 (median). CN distance 2.5 1 of the most similar slices are not shown" in shown
    none = text(similar_html(replace(slice_answer(), similar=()), read_gray, None))
    assert none == "Most similar training slices The features of the training slices are not available."


def test_names_cannot_add_to_the_page(predictor):
    names = replace(predictor, class_names=[HOSTILE, "CN", "MCI"])
    found = slice_answer(HOSTILE, (0.8, 0.1, 0.1))
    similar = replace(found, similar=(Similar("/b.png", HOSTILE, 1.0),))
    error = SliceAnswer(HOSTILE, ImageRow(HOSTILE, error=HOSTILE))
    shown = [answer_html(Answer([found, error], [HOSTILE]), names), message_html(HOSTILE),
             similar_html(similar, lambda path: np.zeros((4, 4), np.uint8), 1.0),
             head_html(HOSTILE, [HOSTILE], [HOSTILE]), map_html(found, torch.ones(4, 3), HOSTILE, None)]
    for html in shown:
        assert "&lt;script&gt;" in html
        assert "<script" not in html
        assert "\x1b" not in html
        assert not re.search(r"<[^>]*[^=\w;]onerror='", html)
    assert text(research_only_html()) == "Research only, not a diagnosis"
