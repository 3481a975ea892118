from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from functions.learning_curves.cells import Cells
from functions.learning_curves.methods import ALL
from functions.learning_curves.plan import Plan, plan_facts, run_fits, start_folder
from functions.runtime.errors import UserError
from tests.functions.learning_curves.cohorts import make_cohort, noisy


def make_plan(folder, methods=("constant", "vit"), sizes=(5, 10, ALL)):
    return Plan(folder, make_cohort(), list(methods), list(sizes), 0)


def run(plan, stop_after=10**6):
    """Runs the plan; returns (method, training slices, tested slices) of every fit, and the order of made methods."""
    seen, made = [], []

    def make(method):
        made.append(method)

        def fit(known, tested, seed):
            if len(seen) == stop_after:
                raise KeyboardInterrupt
            seen.append((method, known, tested))
            return noisy(plan.cohort, 1.0)(known, tested, seed)

        return fit

    with suppress(KeyboardInterrupt):
        run_fits(plan, plan.cells, make, lambda cell, fit: None)
    return seen, made


def test_all_methods_have_the_same_training_patients_and_none_of_the_tested(tmp_path):
    plan = make_plan(tmp_path)
    seen, made = run(plan)
    assert made == ["constant", "vit"]
    first, second = ([row for row in seen if row[0] == method] for method in plan.methods)
    assert len(first) == len(second) == 3 * 2 * 3
    for (_, known, tested), (_, other, same) in zip(first, second, strict=True):
        assert (known == other).all()
        assert (tested == same).all()
        assert not set(plan.cohort.subjects[known]) & set(plan.cohort.subjects[tested])
    for size in range(3):
        tested = sum(row[2].astype(int) for row in first[6 * size:6 * size + 6])
        assert (tested == 2).all(), "every slice is tested once per repeat"


def test_an_interrupted_comparison_continues_and_is_equal_to_the_last_bit(tmp_path):
    whole, broken = make_plan(tmp_path / "whole"), make_plan(tmp_path / "broken")
    run(whole)
    assert len(run(broken, stop_after=8)[0]) == 8
    assert set(broken.curves()) == {("constant", 5)}
    assert len(broken.incomplete(broken.curves())) == 5
    seen, made = run(broken)
    assert (len(seen), made) == (36 - 8, ["constant", "vit"])
    assert run(broken) == ([], [])
    ours, theirs = whole.curves(), broken.curves()
    assert list(ours) == list(theirs) == [(method, size) for method in whole.methods for size in whole.sizes]
    for key, curve in ours.items():
        assert (curve.found.probabilities == theirs[key].found.probabilities).all()
    assert broken.incomplete(theirs) == []


def test_a_leak_planted_in_the_order_stops_the_fits(tmp_path):
    plan = make_plan(tmp_path, sizes=[5])
    plan.orders[1, 2][2] = plan.cohort.subjects[plan.cohort.tested(1, 2)][0]
    with pytest.raises(RuntimeError, match="both trained on and tested in repeat 2, fold 3"):
        run(plan)
    assert sum(map(Cells(tmp_path, plan.cohort).finished, plan.cells)) == 5


def test_the_subsets_are_written_and_missing_classes_named(tmp_path):
    plan = make_plan(tmp_path)
    plan.write_subsets()
    table = pd.read_csv(tmp_path / "subsets.csv")
    part = table[(table["repeat"] == 2) & (table["fold"] == 1)].sort_values("place")
    assert part["subject"].tolist() == plan.orders[1, 0]
    assert set(part["subject"][:5]) == set(plan.cohort.subjects[plan.known(plan.cells[3])])
    notes = plan.class_notes()
    assert "with 5 patients: no training patient of MCI in 6 of 6 folds; it cannot be learnt there" in notes
    assert "with all patients: no training patient of MCI in 2 of 6 folds; it cannot be learnt there" in notes


def test_a_folder_is_continued_with_the_same_data_and_further_weights_only(tmp_path):
    folder, facts = tmp_path / "a", {"slices": "x", "steps": 5}
    start_folder(folder, facts, {})
    start_folder(folder, facts, {"vit": "1"})
    start_folder(folder, facts, {"resnet18": "2"})
    assert plan_facts(folder) == facts | {"weights of vit, sha256": "1", "weights of resnet18, sha256": "2"}
    for changed, weights, message in (({"slices": "y", "steps": 5}, {}, "another slices"),
                                      ({"slices": "x", "steps": 6}, {}, "another steps"),
                                      (facts, {"vit": "3"}, "other weights of vit")):
        with pytest.raises(UserError, match=message):
            start_folder(folder, changed, weights)
    other = tmp_path / "b"
    other.mkdir()
    with pytest.raises(UserError, match="holds no comparison"):
        start_folder(other, facts, {})


def test_the_seed_of_a_fit_is_of_the_fold_and_not_of_the_size(tmp_path):
    plan, seeds = make_plan(tmp_path, ["constant"], [5, ALL]), []

    def fit(known, tested, seed):
        seeds.append(seed)
        return noisy(plan.cohort, 1.0)(known, tested, seed)

    run_fits(plan, plan.cells, lambda method: fit, lambda cell, fit: None)
    assert seeds[:6] == seeds[6:]
    assert len(np.unique(seeds)) == 6
