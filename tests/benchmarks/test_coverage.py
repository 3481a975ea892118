from dataclasses import replace

import numpy as np
import pytest

from benchmarks import coverage
from benchmarks.cohorts import BY_CLASS, PATIENTS, SEVERAL, SKEWED, SLICES, Cell, cells, draw, truth
from functions.evaluation import evaluate
from functions.evaluation.comparison import paired
from functions.evaluation.evaluation import Score


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The truth of 3,000 patients."""
    monkeypatch.setattr("benchmarks.cohorts.POPULATION", 3000)
    truth.cache_clear()
    yield
    truth.cache_clear()


def test_cohorts_have_the_slices_that_their_cell_says():
    generator = np.random.default_rng(0)
    size = {}
    for slices in SLICES:
        [cohort] = draw(Cell("equal", 4000, slices, 1.0), generator)
        size[slices] = np.bincount(cohort.owner)
        assert len(cohort.q) == len(cohort.labels) == len(cohort.owner)
        rows_of = cohort.q[(cohort.owner == cohort.who[5]) & (cohort.labels == cohort.y[5])]
        np.testing.assert_allclose(cohort.p[5], rows_of.mean(axis=0))
        first = dict(zip(cohort.owner[::-1].tolist(), cohort.labels[::-1].tolist(), strict=True))
        if slices == BY_CLASS:
            assert {(first[who], n) for who, n in enumerate(size[slices])} == {(0, 40), (1, 8), (2, 2)}
        if slices != SEVERAL:
            assert cohort.who.tolist() == list(range(4000))
            continue
        twice = np.flatnonzero(np.bincount(cohort.who) == 2)
        assert len(twice) / 4000 == pytest.approx(1 / 3, abs=0.03), "half of the two milder thirds"
        assert all(np.diff(cohort.y[cohort.who == who]) == 1 for who in twice[:50]), "a later, worse label"
    assert (size["8 each"] == 8).all()
    assert (size["1 to 60"].min(), size["1 to 60"].max()) == (1, 60)
    assert size[SKEWED].min() == 1
    assert 290 < size[SKEWED].max() <= 300
    assert np.median(size[SKEWED]) < 20
    assert {10, 20} <= {cell.patients for cell in cells(1.0)}
    assert {cell.slices for cell in cells(1.0)} == set(SLICES) == set(PATIENTS)


def test_a_share_has_the_error_of_its_cohorts():
    """Three scores of a cohort that agree are one observation, not three."""
    yes = np.arange(100) < 90
    plain = coverage.share(list(enumerate(yes)))
    assert plain == f"90.0 ± {100 * np.sqrt(0.9 * 0.1 / 100):.1f}"
    assert coverage.share([(number, one) for number, one in enumerate(yes) for _ in range(3)]) == plain
    assert coverage.share([(number, True) for number in range(100)]) == "100.0 ± 0.5", "never certain"


def test_the_rarest_scored_class_has_its_own_column(monkeypatch):
    """Its intervals alone are made wrong: class 2, of fewest patients."""
    real = evaluate.by_class

    def wrong(p, y, who, names):
        made = real(p, y, who, names)
        return [replace(row, sensitivity=Score(0.5, -2.0, -1.0 if row.name == "c" else 2.0)) if row.sensitivity else row
                for row in made]

    monkeypatch.setattr(evaluate, "by_class", wrong)
    found = coverage.covered(Cell("16/12/4", 200, "8 each", 1.0), 4)
    assert [hit for _, hit in found["rarest class"]] == [False] * 4
    assert sum(hit for _, hit in found["sensitivity"]) == 8
    assert {cohort for cohort, _ in found["sensitivity"]} == {0, 1, 2, 3}


def test_every_interval_that_is_printed_is_counted_and_no_other():
    found = coverage.covered(Cell("equal", 60, "8 each", 1.0), 3)
    assert all({cohort for cohort, _ in found[name]} == {0, 1, 2} for name in coverage.SCORES)
    several = coverage.covered(Cell("equal", 60, SEVERAL, 1.0), 3)
    assert {name for name in coverage.SCORES if several[name]} == {"accuracy", "slice accuracy"}
    few = coverage.covered(Cell("equal", 20, "8 each", 1.0), 3)
    assert not {"brier", "auroc", "slice accuracy"} & {name for name in coverage.SCORES if few[name]}
    text = coverage.grid([Cell("equal", 20, "8 each", 1.0)], [few], coverage.SCORES, 3)
    assert rows(text)[2][:4] == ["equal", "20", "8 each", "100.0 ± 16.7"]
    assert rows(text)[2][-1] == "-"
    differences = coverage.differing(Cell("equal", 60, SEVERAL, 1.0), 3)
    assert {name for name in coverage.DIFFERENCES if differences[name]} == {"accuracy", "brier"}


def test_the_second_of_two_unequal_networks_is_the_worse(monkeypatch):
    """The true gap, not 0 nor that of the opposite order, lies in the intervals of 40 cohorts."""
    cell = Cell("equal", 2000, "8 each", coverage.BETTER)
    monkeypatch.setattr("benchmarks.cohorts.POPULATION", 20_000)
    first, second = draw(cell, np.random.default_rng(0), (coverage.BETTER, coverage.RIVAL))
    gap = paired(first.p, second.p, first.y, first.who, 0)
    assert gap["auroc_disease"].value > 0.2
    found = coverage.unequal(Cell("equal", 60, "8 each", coverage.BETTER), 40)
    assert all(len(found[name]) == 40 for name in coverage.DIFFERENCES)
    assert all(sum(hit for _, hit in found[name]) >= 34 for name in coverage.DIFFERENCES)


@pytest.mark.parametrize("part", coverage.ALARMS)
def test_false_alarms_are_asked_for_by_name(part):
    made = coverage.false_alarms(part, 4)
    assert all(row[0].startswith(f"{part}: ") for row in made)
    last = "cannot occur" if "true AUROC" in part else "no verdict is given" if "several" in part else "±"
    assert last in made[-1][2]
    assert len(made) == (1 if "true AUROC" in part else 2)
    assert ('verdict "too good' in made[0][1]) == ("true AUROC" in part)


def test_the_table_of_splits_counts_the_odd_patient():
    one, odd = rows(coverage.splits(40))[2:]
    assert (one[0], odd[0]) == ("one class each", "one patient of two classes")
    assert one[3] == odd[3] == "0", "never tested"
    assert 0 < int(odd[5]) < 20
    assert one[-1] == "8 ± 3"


def test_the_command_writes_every_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coverage, "cells", lambda signal: [Cell("equal", 40, "8 each", signal)])
    monkeypatch.setattr(coverage, "ALARMS", {name: coverage.ALARMS[name] for name in ("no signal",)})
    monkeypatch.setattr(coverage, "splits", lambda seeds: f"{seeds} seeds")
    coverage.main(["--quick", "--out", str(tmp_path / "new" / "x.md")])
    text = (tmp_path / "new" / "x.md").read_text()
    assert text == capsys.readouterr().out
    assert text.startswith("`python -m benchmarks coverage --quick")
    assert text.count("± its Monte-Carlo standard error") == 5
    assert "\n| equal | 40 | 8 each | " in text
    assert "rarest class" in text
    assert text.endswith("30 seeds\n")
