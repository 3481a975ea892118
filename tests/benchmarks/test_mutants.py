import json

import pytest

from benchmarks.mutants import (
    AMBIGUOUS,
    BROKEN,
    EQUIVALENT,
    LIST,
    NOT_FOUND,
    NOTICED,
    SURVIVED,
    Mutant,
    Results,
    outcome_of,
    read_list,
    summary,
)
from tests.conftest import ROOT

CODE = "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return a * 2\n"
TEST = "import {0}\n\n\ndef test_add():\n    assert {0}.add(2, 3) == {1}\n"


@pytest.fixture
def trees(tmp_path):
    """(root, a copy of it) with two files and a test of each; that of `spoiled` fails as it is."""
    roots = [tmp_path / "root", tmp_path / "tree"]
    for root in roots:
        (root / "tests").mkdir(parents=True)
        for name, answer in (("sums", 5), ("spoiled", 7)):
            (root / f"{name}.py").write_text(CODE)
            (root / "tests" / f"test_{name}.py").write_text(TEST.format(name, answer))
    return roots


def mutant(old, new, file="sums", **more):
    return Mutant(f"{file}.py", f"{old} becomes {new}", old, new, (f"tests/test_{file}.py",), **more)


MUTANTS = [(mutant("a + b", "a - b"), NOTICED), (mutant("a * 2", "a * 3"), SURVIVED),
           (mutant("a * 2", "2 * a", equivalent="the product commutes"), EQUIVALENT),
           (mutant("a / b", "b"), NOT_FOUND), (mutant("return", "pass"), AMBIGUOUS),
           (mutant("a + b", "a - b", "spoiled"), BROKEN), (mutant("a + b", "a - b", "moved"), NOT_FOUND)]


def test_a_mistake_is_noticed_survives_or_cannot_be_tried(trees, tmp_path):
    results = Results(tmp_path / "out" / "results.jsonl")
    outcomes = [(each, outcome_of(each, *trees, results, 60)) for each, _ in MUTANTS]
    assert outcomes == MUTANTS
    assert (trees[1] / "sums.py").read_text() == CODE, "taken out again"
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in lines] == [NOTICED, SURVIVED, SURVIVED, BROKEN]
    text = "\n".join(summary(outcomes))
    assert "| **all** | 1 | 1 | 50.0% | 1 | 4 |" in text
    assert "- equivalent: sums.py: a * 2 becomes 2 * a (the product commutes)" in text
    assert "- not noticed: sums.py: a * 2 becomes a * 3" in text


def test_what_is_known_is_not_tried_again_until_file_or_test_changes(trees, tmp_path):
    results, (one, _), tried = Results(tmp_path / "r.jsonl"), MUTANTS[0], []

    def outcome():
        return Results(tmp_path / "r.jsonl").of(trees[1], one, lambda: tried.append(1) or NOTICED)

    assert results.of(trees[1], one, lambda: NOTICED) == NOTICED
    assert [outcome(), outcome(), tried] == [NOTICED, NOTICED, []]
    (trees[1] / "tests/test_sums.py").write_text("")
    assert [outcome(), outcome(), tried] == [NOTICED, NOTICED, [1]]


def test_the_list_names_files_and_tests_that_exist():
    mutants = read_list(LIST)
    assert len(mutants) >= 100
    assert len({(each.file, each.old, each.new) for each in mutants}) == len(mutants)
    for each in mutants:
        assert each.old != each.new
        for name in (each.file, *(test.split("::")[0] for test in each.tests)):
            assert (ROOT / name).is_file(), f"{name} of {each.file}: {each.mistake}"
