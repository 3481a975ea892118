import subprocess
import threading

import pytest

from data_setup.subjects import regex as patterns
from data_setup.subjects.regex import search_subjects
from functions.runtime.errors import UserError


def test_the_group_of_the_first_match_is_the_subject():
    paths = ["x/pat7_3.png", "x/none.png", "pat8/pat9.png", "é/pat.png", "\udcff/pat4.png"]
    assert search_subjects(r"pat(?P<subject>\d*)", paths) == ["7", None, "8", None, "4"]
    assert search_subjects(r"(?P<subject>é)", paths) == [None, None, None, "é", None]


@pytest.mark.parametrize("pattern", [r"(?P<subject>(a+)+)$", r"(?P<subject>([a-z]*)*)\d{9}", r"(?P<subject>(a|aa)+)$"])
def test_a_pattern_that_never_ends_is_a_line(monkeypatch, pattern):
    monkeypatch.setattr(patterns, "SECONDS", 1)
    with pytest.raises(UserError, match="backtracks") as error:
        search_subjects(pattern, ["a" * 60 + "!"])
    assert pattern in str(error.value).replace("\\\\", "\\")
    assert "\n" not in str(error.value)


def test_the_time_grows_with_the_paths_and_a_pattern_may_run_in_any_thread(monkeypatch):
    limits, found = [], []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: limits.append(k["timeout"]) or run(*a, **k))
    thread = threading.Thread(target=lambda: found.append(search_subjects("(?P<subject>a)", ["a"] * 3000)))
    thread.start()
    thread.join()
    assert found == [["a"] * 3000]
    assert limits == [pytest.approx(13)]


@pytest.mark.parametrize(("pattern", "complaint"), [
    ("(" * 3000 + ")" * 3000, "nested too deeply"), ("(?P<subject>", "not a regular expression"),
    ("a{99999999999999999999}", "not a regular expression"),
    ("(?P<subject>a)(?P<subject>b)", "not a regular expression"),
    ("pat", "no group named subject"), ("(?P<subjects>a)", "no group named subject"),
    ("*" * 9000, "nothing to repeat")])
def test_what_is_no_pattern_is_a_short_line(pattern, complaint):
    with pytest.raises(UserError, match=complaint) as error:
        search_subjects(pattern, ["a"])
    assert len(str(error.value)) < 300
