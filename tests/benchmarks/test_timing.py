import time

import pytest
import torch

from benchmarks.timing import alternate, fastest_peer, ratios, summarise, table

CPU = torch.device("cpu")


def test_parties_take_turns_and_each_begins():
    calls = []
    parties = {name: lambda name=name: calls.append(name) for name in "ABC"}
    seconds = alternate(parties, 4, CPU, warmup=2)
    assert "".join(calls) == "AABBCC" + "ABC" + "BCA" + "CAB" + "ABC"
    assert {name: len(times) for name, times in seconds.items()} == {"A": 4, "B": 4, "C": 4}


def test_a_slow_spell_cancels_in_the_ratios(monkeypatch):
    """Each call of A takes 2, of B 4; from the third round on the machine is ten times as slow, as a shared one may."""
    now, calls = [0.0], []

    def party(cost):
        calls.append(cost)
        now[0] += cost * (10 if len(calls) > 4 else 1)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    seconds = alternate({"ours": lambda: party(2), "B": lambda: party(4)}, 5, CPU, warmup=0)
    assert seconds["ours"] == [2, 2, 20, 20, 20]
    assert ratios(seconds, "B", "ours") == (2, 2, 2)
    assert ratios(seconds, "ours", "B") == (0.5, 0.5, 0.5)


def test_median_and_quartiles():
    assert summarise([5, 1, 2, 4, 3]) == (3, 2, 4)
    assert summarise([7]) == (7, 7, 7)
    assert summarise([1, 2, 3, 1000]).median == pytest.approx(2.5)


def test_ours_is_no_peer_of_its_own():
    assert fastest_peer({"ours": [1, 1, 1], "slow": [3, 3, 3], "fast": [2, 9, 2]}) == "fast"


def test_a_table_is_markdown():
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
