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
    read_list,
    summary,
    try_all,
)
from tests.conftest import ROOT

CODE = "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return a * 2\n"
TEST = "import {0}\n\n\ndef test_add():\n    assert {0}.add(2, 3) == {1}\n"


@pytest.fixture
def root(tmp_path):
    """Two files and a test of each; that of `spoiled` fails as it is."""
    root = tmp_path / "root"
    (root / "tests").mkdir(parents=True)
    for name, answer in (("sums", 5), ("spoiled", 7)):
        (root / f"{name}.py").write_text(CODE)
        (root / "tests" / f"test_{name}.py").write_text(TEST.format(name, answer))
    return root


def mutant(old, new, file="sums", **more):
    return Mutant(f"{file}.py", f"{old} becomes {new}", old, new, (f"tests/test_{file}.py",), **more)


MUTANTS = [(mutant("a + b", "a - b"), NOTICED), (mutant("a * 2", "a * 3"), SURVIVED),
           (mutant("a * 2", "2 * a", equivalent="the product commutes"), EQUIVALENT),
           (mutant("a / b", "b"), NOT_FOUND), (mutant("return", "pass"), AMBIGUOUS),
           (mutant("a + b", "a - b", "spoiled"), BROKEN), (mutant("a + b", "a - b", "moved"), NOT_FOUND)]


def test_a_mistake_is_noticed_survives_or_cannot_be_tried(root, tmp_path):
    outcomes = try_all([each for each, _ in MUTANTS], root, Results(tmp_path / "out" / "results.jsonl"), 60)
    assert outcomes == MUTANTS
    assert (root / "sums.py").read_text() == CODE
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [line["failed"] for line in lines] == [["tests/test_sums.py::test_add"], [], [],
                                                  ["tests/test_spoiled.py::test_add"]]
    text = "\n".join(summary(outcomes))
    assert "| **all** | 1 | 1 | 50.0% | 1 | 4 |" in text
    assert "- equivalent: sums.py: a * 2 becomes 2 * a (the product commutes)" in text
    assert "- not detected: sums.py: a * 2 becomes a * 3" in text


def test_what_is_known_is_not_tried_again_until_file_or_test_changes(root, tmp_path):
    (one, _), tried = MUTANTS[0], []

    def failed():
        return Results(tmp_path / "r.jsonl").of(root, one, lambda: tried.append(1) or ["tests/x"])

    assert [failed(), failed(), tried] == [["tests/x"], ["tests/x"], [1]]
    for changed in ("tests/test_sums.py", "sums.py"):
        tried.clear()
        (root / changed).write_text("")
        assert [failed(), failed(), tried] == [["tests/x"], ["tests/x"], [1]]


def test_the_list_names_files_and_tests_that_exist():
    mutants = read_list(LIST)
    assert len(mutants) >= 100
    assert len({(each.file, each.old, each.new) for each in mutants}) == len(mutants)
    for each in mutants:
        assert each.old != each.new
        for name in (each.file, *(test.split("::")[0] for test in each.tests)):
            assert (ROOT / name).is_file(), f"{name} of {each.file}: {each.mistake}"
