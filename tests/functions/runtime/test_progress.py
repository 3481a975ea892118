import itertools

import pytest

from functions.runtime.progress import Progress


@pytest.fixture
def seconds(monkeypatch):
    """Every question for the time is answered with ten seconds more."""
    monkeypatch.setattr("time.monotonic", itertools.count(0, 10).__next__)


def test_a_log_gets_a_line_now_and_then(seconds, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    progress = Progress("features, train", 1000, every=20)
    for _ in range(5):
        progress.update(100)
    progress.close()
    assert capsys.readouterr().out.splitlines() == [
        "features, train: 200 of 1,000 images, 10.0 images/s, 80 s left",
        "features, train: 400 of 1,000 images, 10.0 images/s, 60 s left"]


def test_long_work_is_in_minutes_and_short_work_prints_nothing(seconds, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    progress = Progress("x", 10_000, every=10)
    progress.update(10)
    assert "1.0 images/s, 166 min left" in capsys.readouterr().out
    slow = Progress("x", 100, every=10)
    slow.update(1)
    assert "x: 1 of 100 images, 10.0 s per image, 16 min left" in capsys.readouterr().out
    Progress("x", 5, every=100).update(5)
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_bar_and_no_lines(seconds, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    progress = Progress("x", 100, every=0)
    progress.update(50)
    progress.close()
    assert capsys.readouterr().out == ""
