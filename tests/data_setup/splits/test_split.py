import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_setup.splits.split import apply_split, count_table, hold_out, split_hash, strata_of


def people_table(counts, sizes, unknown=0.0, folders=("train",), by_person=True, seed=0):
    """A random table: counts[c] people in class c of sizes[0]..sizes[1] slices each, thrown into the folders."""
    rng = np.random.default_rng(seed)
    rows = []
    for c, people in enumerate(counts):
        for person in range(people):
            home = folders[rng.integers(len(folders))]
            for z in range(rng.integers(sizes[0], sizes[1] + 1)):
                folder = home if by_person else folders[rng.integers(len(folders))]
                subject = None if rng.random() < unknown else f"p{c}-{person}"
                rows.append((f"/d/{folder}/{c}/{person}-{z}.png", f"class{c}", subject, folder))
    return pd.DataFrame(rows, columns=["path", "class", "subject", "split"])


def sides(table):
    """subject → the splits in which he stands."""
    known = table[table["subject"].notna()]
    return known.groupby("subject")["split"].agg(set)


def disjoint(table):
    return all(len(splits) == 1 for splits in sides(table))


COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=4)
SHARES = st.sampled_from([0.1, 0.15, 0.2, 0.25, 1 / 3, 0.5])
SEEDS = st.integers(0, 1000)


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.integers(1, 9), st.integers(0, 30), SHARES, SEEDS)
def test_patients_are_held_out_within_one_of_the_share(counts, size, more, share, seed):
    """Whether they have equally many slices or not."""
    table = people_table(counts, (size, size + more), seed=seed)
    held = hold_out(table["class"], table["subject"], share, seed)
    assert held.dtype == bool
    assert table[held]["subject"].nunique() + table[~held]["subject"].nunique() == sum(counts)      # whole people
    for c, people in enumerate(counts):
        out = table[held & (table["class"] == f"class{c}")]["subject"].nunique()
        assert abs(out - people * share) < 1 or (out == 1 and people > 1) or people == 1
        assert out < people
        assert out > 0 or people == 1


@pytest.mark.parametrize("sizes", [(4, 4), (1, 60)])
def test_over_seeds_everybody_is_tested_about_equally_often(sizes):
    """60 patients of distinct numbers of slices were one and the same test set for 200 seeds, 48 of them never in it.

    In 300 draws of a fifth, a patient's count is 60 ± 6.9 (binomial); the furthest of 60 lies within 3.5 SD.
    """
    table = people_table([30, 22, 8], sizes, seed=4)
    people = sorted(table["subject"].unique())
    first = table.drop_duplicates("subject").set_index("subject")
    count, sets, shares = dict.fromkeys(people, 0), set(), []
    for seed in range(300):
        held = hold_out(table["class"], table["subject"], 0.2, seed)
        out = frozenset(table["subject"][held])
        sets.add(out)
        shares.append(held.mean())
        for person in out:
            count[person] += 1
    assert len(sets) > 290
    assert min(count.values()) > 60 - 3.5 * 6.9
    assert max(count.values()) < 60 + 3.5 * 6.9
    assert np.mean(shares) == pytest.approx(0.2, abs=0.005)
    assert np.std(shares) < 0.035, "slices are shared out about alike too"
    assert set(first["class"]) == {"class0", "class1", "class2"}


def test_hold_out_is_for_a_seed_whatever_the_order_of_the_slices():
    table = people_table([40, 25, 3], (1, 9))
    shuffled = table.sample(frac=1, random_state=3)
    held = [set(t[hold_out(t["class"], t["subject"], 0.2, 5)]["path"]) for t in (table, shuffled)]
    assert held[0] == held[1]
    assert held[0] != set(table[hold_out(table["class"], table["subject"], 0.2, 6)]["path"])


@pytest.mark.parametrize(("classes", "subjects"), [
    ([], []), (["a"], ["p"]), (["a", "a"], ["p", "p"]), (["a", "b"], ["p", "p"]), (["a", "b"], ["p", "q"]),
    (["a", "b", "c"], [None, None, None]),
])
def test_where_there_are_too_few_people_nobody_is_held_out(classes, subjects):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not hold_out(classes, subjects, 0.2, 0).any()


def test_the_only_person_of_a_class_stays_and_unknown_slices_go_one_by_one():
    classes = ["a"] * 40 + ["b"] * 6 + ["c"] * 10
    subjects = [f"p{i // 2}" for i in range(40)] + ["only"] * 6 + [None] * 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = [hold_out(classes, subjects, 0.5, seed) for seed in range(10)]
    assert not any(h[40:46].any() for h in held)
    assert all(h[46:].sum() == 5 for h in held)
    assert all(h[:40].sum() == 20 for h in held)


def test_a_person_who_changes_class_stays_whole():
    """In a longitudinal archive a person is healthy at one visit and demented at the next."""
    table = people_table([12, 12], (4, 4))
    table["subject"] = table["subject"].str.split("-").str[1]       # the same twelve people in both classes
    held = hold_out(table["class"], table["subject"], 0.25, 0)
    assert held.sum() == 3 * 8
    assert not set(table[held]["subject"]) & set(table[~held]["subject"])


def visits(*of):
    """(classes, subjects) of patients p0, p1, … who have four slices of each class in their string."""
    rows = [(name, f"p{number}") for number, names in enumerate(of) for name in names for _ in range(4)]
    return [name for name, _ in rows], [subject for _, subject in rows]


@pytest.mark.parametrize("cohort", [
    ["a"] * 14 + ["b"] * 10 + ["ab"],                                      # one odd patient
    ["a"] * 12 + ["b"] * 11 + ["c"] * 9 + ["ab", "ac", "bc", "abc"],       # each alone in a combination
    ["a"] * 12 + ["b"] * 10 + ["ab", "ab"],                                # two alike: one of the two would always test
    ["ab"] * 12 + ["a", "b"],                                              # alone in the class's own stratum, too
    ["ab"] * 20 + ["a", "a"],                                              # two such: one of the two would always test
    ["ab"] * 20 + ["abc"] * 6 + ["ac"],                                    # nobody has the rarest class alone
], ids=["one", "four", "pair", "pure", "pure pair", "chain"])
def test_patients_of_odd_classes_are_tested_as_often_as_others(cohort):
    """A patient alone in a combination of classes always trained. In 120 draws a count is 24 ± 4.4 (binomial)."""
    classes, subjects = visits(*cohort)
    count = dict.fromkeys(set(subjects), 0)
    for seed in range(120):
        for person in set(np.asarray(subjects)[hold_out(classes, subjects, 0.2, seed)]):
            count[person] += 1
    assert min(count.values()) > 24 - 3.5 * 4.4
    assert max(count.values()) < 24 + 3.5 * 4.4


def test_the_only_patient_of_a_class_trains_whatever_else_the_patient_is():
    classes, subjects = visits(*["a"] * 12, *["b"] * 8, "bc")
    assert not any(hold_out(classes, subjects, 0.3, seed)[-8:].any() for seed in range(60))


@settings(max_examples=40, deadline=None)
@given(COUNTS, SHARES)
def test_where_each_patient_has_one_class_the_strata_are_the_classes(counts, share):
    """So their splits are what they were before patients of several classes were pooled."""
    classes = pd.Series([(f"class{c}",) for c, people in enumerate(counts) for _ in range(people)])
    assert strata_of(classes, share).tolist() == [name for (name,) in classes]


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.sampled_from(["auto", "patient"]), st.sampled_from([("train",), ("train", "test"),
       ("train", "val", "test"), ("train", "val")]), st.booleans(), SEEDS)
def test_no_patient_on_two_sides_and_every_slice_once(counts, mode, folders, by_person, seed):
    table = people_table([n + 1 for n in counts], (1, 8), folders=folders, by_person=by_person, seed=seed)
    if not (table["split"] == "train").any():
        return
    split = apply_split(table, mode, seed)
    assert disjoint(split.table)
    assert split.caveats == ()
    columns = ["path", "class", "subject"]
    pd.testing.assert_frame_equal(split.table[columns], table[columns], check_dtype=False)     # and in its order
    assert set(split.table["split"]) <= {"train", "val", "test"}
    again = apply_split(table.sample(frac=1, random_state=seed), mode, seed).table.sort_values("path")
    assert again["split"].tolist() == split.table.sort_values("path")["split"].tolist()
    assert all("\n" not in note for note in split.notes)


def test_another_seed_is_another_split():
    table = people_table([20, 20], (3, 3))
    hashes = [split_hash(apply_split(table, seed=seed).table) for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_auto_keeps_disjoint_folders():
    table = people_table([20, 20], (4, 4), folders=("train", "val", "test"))
    split = apply_split(table, "auto")
    assert split.table["split"].tolist() == table["split"].tolist()
    assert split.notes == ("folders as they are",)


def test_auto_pools_folders_that_share_a_patient_and_says_why():
    table = people_table([50, 30], (8, 8))
    table.loc[table.index % 4 == 0, "split"] = "test"               # two of every patient's eight slices
    split = apply_split(table, "auto")
    counts = count_table(split.table)
    assert split.notes[0] == ("80 of 80 patients are in both train and test: "
                              "pooled and split again by patient (60 train, 20 test)")
    assert counts.loc["(all)", ("test", "patients")] == 20            # the folders' own share, a quarter
    assert split.notes[1].startswith("val is held out from train by patient: ")
    assert abs(counts.loc["(all)", ("val", "patients")] - 60 / 7) < 2
    assert counts.loc["class1", ("train", "slices")] == 8 * counts.loc["class1", ("train", "patients")]
    assert counts.loc["(all)"].xs("slices", level=1).sum() == 640


def test_auto_pools_for_one_shared_patient_in_train_and_val():
    table = people_table([20, 20], (4, 4), folders=("train", "val", "test"))
    row = table.index[table["split"] == "train"][0]
    table.loc[row, "split"] = "val"
    split = apply_split(table, "auto")
    assert split.notes[0].startswith("1 of 40 patients are in more than one of train and val and test: pooled")
    assert disjoint(split.table)
    assert set(split.table["split"]) == {"train", "val", "test"}


def test_pooled_folders_keep_their_shares():
    table = people_table([60, 60], (8, 8))
    table["split"] = [("train", "val", "test", "train")[i % 4] for i in range(len(table))]
    counts = count_table(apply_split(table, "auto").table)
    assert counts.loc["(all)"].xs("slices", level=1).tolist() == [480, 240, 240]


def test_folder_keeps_the_folders_and_is_stamped():
    table = people_table([20, 20], (8, 8), folders=("train", "test"), by_person=False)
    split = apply_split(table, "folder")
    assert split.caveats == ("LEAKY SPLIT",)
    both = sides(split.table).map(len).gt(1).sum()
    assert both > 30
    assert split.notes[-1] == f"LEAKY SPLIT: {both} of 40 patients are in more than one split"
    was_test = table["split"] == "test"
    assert ((split.table["split"] == "test") == was_test).all()
    assert disjoint(split.table[~was_test])                         # validation still shares nobody with train
    assert (split.table["split"] == "val").any()
    clean = people_table([20, 20], (8, 8), folders=("train", "test"))
    assert apply_split(clean, "folder").caveats == ()


def test_patient_splits_again_even_where_the_folders_are_disjoint():
    table = people_table([40, 40], (4, 4), folders=("train", "test"))
    split = apply_split(table, "patient", seed=1)
    assert split.notes[0].startswith("--split patient: pooled and split again by patient (")
    assert (split.table["split"] == "test").ne(table["split"] == "test").any()


def test_without_a_test_folder_a_fifth_of_the_patients_tests():
    for mode in ("auto", "folder", "patient"):
        split = apply_split(people_table([30, 20], (4, 4)), mode)
        assert count_table(split.table).loc["(all)", ("test", "patients")] == 10
        assert disjoint(split.table)


def test_unknown_patients_are_stamped():
    table = people_table([20, 20], (5, 5), unknown=0.3, folders=("train", "test"))
    unknown = table["subject"].isna().sum()
    split = apply_split(table, "auto")
    assert split.caveats == ("PATIENTS UNKNOWN",)
    assert split.notes[-1] == f"PATIENTS UNKNOWN: the patient of {unknown} of 200 slices is unknown"
    assert all(subject is None or isinstance(subject, str) for subject in split.table["subject"])
    assert split_hash(apply_split(table.sample(frac=1, random_state=0), "auto").table) == split_hash(split.table)
    nobody = table.assign(subject=None)
    assert apply_split(nobody, "auto").caveats == ("PATIENTS UNKNOWN",)
    with pytest.raises(ValueError, match=r"no patient is known; give --subjects FILE\.csv or --subject_pattern"):
        apply_split(nobody, "patient")


def test_identical_slices_of_unknown_patients_are_held_out_together():
    table = people_table([60], (1, 1), unknown=1).assign(digest=[f"d{i // 2}" for i in range(60)])
    table.loc[:9, "digest"] = None                                   # blank slices: alike, and nobody's copies
    split = apply_split(table)
    assert split.caveats == ("PATIENTS UNKNOWN",)
    assert list(split.table.columns) == ["path", "class", "subject", "split"]
    sides = split.table["split"].groupby(table["digest"]).nunique()
    assert len(sides) == 25
    assert (sides == 1).all()
    linked = pd.concat([table.assign(split=side, path=table["path"] + side) for side in ("train", "test")])
    assert apply_split(linked).caveats == ("LEAKY SPLIT", "PATIENTS UNKNOWN")
    known = linked.assign(subject=[f"{i}" for i in range(120)])      # renamed copies
    assert apply_split(known).caveats == ("LEAKY SPLIT",)


def test_a_class_that_a_split_lacks_is_named():
    split = apply_split(people_table([20, 1], (5, 5)))
    assert "class1 is not in val and test (1 known patients)" in split.notes
    lonely = apply_split(people_table([1], (5, 5)))
    assert lonely.notes[1:3] == tuple(f"{name} is empty: train has too few patients to hold one out"
                                      for name in ("test", "val"))


def test_input_that_cannot_be_split():
    table = people_table([5, 5], (2, 2))
    with pytest.raises(ValueError, match="is in the data twice"):
        apply_split(pd.concat([table, table.assign(split="test")]))
    with pytest.raises(ValueError, match="no training slices among 20"):
        apply_split(table.assign(split="test"))


def test_count_table_counts_known_patients_and_all_slices():
    rows = [("1", "b", "p", "train"), ("2", "b", "p", "train"), ("3", "a", "p", "train"), ("4", "a", None, "test")]
    counts = count_table(pd.DataFrame(rows, columns=["path", "class", "subject", "split"]))
    assert counts.index.tolist() == ["a", "b", "(all)"]
    assert counts["train"].values.tolist() == [[1, 1], [1, 2], [1, 3]]
    assert counts["val"].values.tolist() == [[0, 0]] * 3
    assert counts["test"].values.tolist() == [[0, 1], [0, 0], [0, 1]]


def test_the_hash_tells_splits_apart_but_not_machines():
    table = apply_split(people_table([9, 9], (3, 3), unknown=0.2)).table
    known = split_hash(table)
    assert len(known) == 64
    assert split_hash(table.sample(frac=1, random_state=0)) == known
    assert split_hash(table.assign(path=table["path"].str.replace("/d/", "/other/root/"))) == known
    for column in ("class", "subject", "split"):
        changed = table.copy()
        changed.loc[changed.index[0], column] = "other"
        assert split_hash(changed) != known


def test_slice_mode_scatters_patients_on_purpose_keeps_the_shares_and_is_stamped():
    table = people_table([20, 30], (8, 8), folders=("train", "test"), by_person=False, seed=1)
    split = apply_split(table, "slice", seed=0)
    assert split.caveats == ("LEAKY SPLIT",)
    assert "slice by slice, patients overlap between splits" in split.notes[0]
    assert len(sides(split.table)) == 50
    assert sum(len(where) > 1 for where in sides(split.table)) > 45
    share = (table["split"] == "test").mean()
    assert abs((split.table["split"] == "test").mean() - 1 / round(1 / share)) < 0.01
    assert sorted(split.table["path"]) == sorted(table["path"])
