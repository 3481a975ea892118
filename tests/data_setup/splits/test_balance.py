import numpy as np
import pandas as pd
import pytest

from data_setup.splits.balance import balance_notes, sort_keys
from data_setup.splits.folds import patient_folds
from data_setup.splits.split import apply_split, hold_out


def cohort(count, seed=0):
    """Patients of two classes with two slices each, and ages and sexes of their own."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame({"path": [f"p{k:03d}" for k in range(count)], "subject": [f"s{k:03d}" for k in range(count)],
                          "class": ["AD" if k % 3 else "CN" for k in range(count)], "split": "train",
                          "age": generator.normal(72, 9, count), "sex": generator.choice(["F", "M"], count)})
    return pd.concat([table, table.assign(path=table["path"] + "b")], ignore_index=True)


def gap(table, held, name):
    values = table["age"] if name == "age" else (table["sex"] == "F") * 1.0
    gaps = [values[held & (table["class"] == one)].mean() - values[~held & (table["class"] == one)].mean()
            for one in ("AD", "CN")]
    return np.abs(gaps).max() / values.std()


def test_neighbours_are_of_one_sex_and_age():
    table = pd.DataFrame({"subject": ["a", "b", "c", "d", "e", "f"], "class": "x", "age": [70, 60, 80, 65, np.nan, 50],
                          "sex": ["M", "F", "F", "M", "F", None]})
    keys = sort_keys(table)
    assert [table["subject"][row] for row in np.argsort(keys)] == ["b", "c", "e", "a", "d", "f"]
    assert sort_keys(table.drop(columns=["age", "sex"])) is None
    assert sort_keys(table.assign(age=np.nan, sex=None)) is None


def test_a_hold_out_balances_age_and_sex():
    gaps = {True: [], False: []}
    for seed in range(8):
        table = cohort(120, seed)
        for balanced in gaps:
            held = hold_out(table["class"], table["subject"], 0.2, seed, sort_keys(table) if balanced else None)
            assert held.reshape(2, -1)[0].tolist() == held.reshape(2, -1)[1].tolist()
            gaps[balanced].append([gap(table, held, "age"), gap(table, held, "sex")])
    with_keys, without = (np.mean(gaps[one], axis=0) for one in (True, False))
    assert (with_keys < 0.6 * without).all(), (with_keys, without)


def test_every_patient_is_held_out_equally_often():
    table = cohort(30)
    keys = sort_keys(table)
    counts = sum(hold_out(table["class"], table["subject"], 0.2, seed, keys).astype(int) for seed in range(50))
    assert counts.min() >= 2                 # 10 expected, SD 2.8
    assert counts.max() <= 21


def test_folds_balance_age_and_have_equal_sizes():
    table = cohort(120)
    keys, spread = sort_keys(table), {}
    for balance in (None, keys):
        folds = patient_folds(table["class"], table["subject"], 5, 8, 0, balance)
        assert all(np.bincount(one).tolist() == [48] * 5 for one in folds)
        means = [[table["age"][(one == fold) & (table["class"] == "CN")].mean() for fold in range(5)] for one in folds]
        spread[balance is None] = np.std(means, axis=1).mean()
    assert spread[False] < 0.6 * spread[True]


def test_a_new_split_says_how_well_it_balances():
    applied = apply_split(cohort(120), "auto", 1)
    assert list(applied.table) == ["path", "class", "subject", "split"]
    notes = " ".join(applied.notes)
    assert "age: train 7" in notes
    assert "% women" in notes
    assert not any("age" in note for note in apply_split(cohort(120).drop(columns=["age", "sex"]), "auto", 1).notes)


def test_the_age_of_a_single_patient_is_shown():
    table = pd.DataFrame({"subject": ["a", "b", "c"], "class": "CN", "split": ["train", "val", "test"],
                          "age": [40.0, 51.0, None], "sex": None})
    assert balance_notes(table) == ["age: train 40.0 years, val 51.0 years, test unknown"]


def test_what_patients_drawn_at_random_differ_by_is_not_to_be_checked():
    asked = 0
    for seed in range(40):
        table = cohort(80, seed)
        splits = np.random.default_rng(seed).choice(["train", "val", "test"], 80, p=[0.5, 0.15, 0.35])
        asked += any("CHECK" in note for note in balance_notes(table.assign(split=np.tile(splits, 2))))
    assert asked <= 4


@pytest.mark.parametrize("where", ["AD", "CN"])
def test_a_difference_between_folders_asks_to_check(where):
    table = cohort(120)
    table["split"] = np.where(table.index % 120 < 60, "train", "test")
    table.loc[(table["split"] == "test") & (table["class"] == where), "age"] += 14
    [age, sex] = balance_notes(table)
    assert age.startswith("CHECK: age")
    assert f"({where}, test and train)" in age
    assert not sex.startswith("CHECK")
