import re

import pytest

from functions.evaluation.clinical import sample_size
from tools.plan import main


@pytest.fixture(autouse=True)
def _fewer_studies(monkeypatch):
    monkeypatch.setattr(sample_size, "STUDIES", 60)


def answer(out):
    return int(re.search(r"^([\d,]+) test patients", out, re.MULTILINE)[1].replace(",", ""))


def test_it_prints_the_patients_that_each_goal_needs(call_script):
    code, out, err = call_script(main, "--auroc", 0.8, "--half_width", 0.1)
    assert (code, err) == (0, "")
    assert 70 <= answer(out) <= 110
    assert out.splitlines()[-2].split()[0] == str(answer(out)), "the last row is the answer"
    assert answer(call_script(main, "--half_width", 0.1, "--prevalence", 0.2)[1]) > answer(out)
    code, paired, _ = call_script(main, "--difference", 0.15, "--correlation", 0.8)
    assert code == 0
    assert answer(paired) < answer(call_script(main, "--difference", 0.15, "--correlation", 0.1)[1])
    assert answer(call_script(main, "--difference", 0.15, "--correlation", 0.8, "--power", 0.95)[1]) > answer(paired)


@pytest.mark.parametrize(("given", "complaint"), [
    ((), "give one goal"), (("--half_width", 0.1, "--difference", 0.1), "give one goal"),
    (("--difference", 0.2), "an AUROC of 1 is impossible"), (("--half_width", 0), "not between 0 and 1"),
    (("--half_width", 0.1, "--prevalence", 1), "not between 0 and 1")])
def test_an_impossible_question_is_one_line(given, complaint, call_script):
    code, _, err = call_script(main, *given)
    assert code == 2
    assert complaint in err
    assert err.count("\n") == 1
