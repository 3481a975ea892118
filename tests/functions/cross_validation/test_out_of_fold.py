import numpy as np
import pandas as pd
import pytest

from functions.cross_validation.out_of_fold import class_notes, differences, from_slices, scores, within_folds

NAMES = ["AD", "CN"]


def table(repeats=2, patients=24, shift=0.0, seed=0):
    """Two slices of each patient in each repeat, in another order; patients are in one of three folds."""
    generator, rows = np.random.default_rng(seed), []
    for repeat in range(repeats):
        for patient in generator.permutation(patients):
            label = NAMES[patient % 2]
            for z in range(2):
                p = np.clip((0.6 if label == "AD" else 0.4) + generator.normal(0, 0.2) + shift * (patient % 2), 0, 1)
                rows.append([repeat, patient % 3, f"{patient:02d}/{z}", f"s{patient:02d}", label, p, 1 - p])
    return pd.DataFrame(rows, columns=["repeat", "fold", "path", "subject", "label", *NAMES])


def test_slices_become_patients_in_one_order_in_every_repeat():
    found = from_slices(table(), NAMES)
    assert found.probabilities.shape == (2, 24, 2)
    assert found.folds.shape == (2, 24)
    assert found.subjects.tolist() == [f"s{number:02d}" for number in range(24)]
    assert found.labels.tolist() == [number % 2 for number in range(24)]
    assert (found.folds == np.arange(24) % 3).all()
    assert found.num_folds == 3
    rows = table()
    own = rows[(rows["repeat"] == 1) & (rows["subject"] == "s05")]["AD"].mean()
    assert found.probabilities[1, 5, 0] == pytest.approx(own)


def test_scores_are_of_diseased_or_not_where_the_healthy_class_is_known():
    found = from_slices(table(), NAMES)
    assert found.healthy == 1
    assert set(scores(found)) == {"auroc_disease", "balanced_accuracy"}
    assert 0.5 < scores(found)["auroc_disease"].value < 1


def test_two_unknown_classes_are_scored_by_the_second_and_more_by_balanced_accuracy_alone():
    rows = table().rename(columns={"AD": "left", "CN": "right"})
    rows["label"] = rows["label"].map({"AD": "left", "CN": "right"})
    found = from_slices(rows, ["left", "right"])
    assert found.healthy is None
    assert set(scores(found)) == {"auroc", "balanced_accuracy"}
    rows["up"] = 0.0
    assert set(scores(from_slices(rows, ["left", "right", "up"]))) == {"balanced_accuracy"}


def test_a_difference_has_the_sign_of_the_better_model():
    good, poor = from_slices(table(shift=-0.15), NAMES), from_slices(table(shift=0.15), NAMES)
    assert all(gap.value > 0 for gap in differences(good, poor).values())
    assert differences(good, good)["within folds"].value == 0


def test_the_auroc_within_a_fold_does_not_compare_patients_of_different_networks():
    rows = table(repeats=1)
    rows["AD"] = (rows["label"] == "AD") * 0.1 + rows["fold"] * 0.3
    rows["CN"] = 1 - rows["AD"]
    found = from_slices(rows, NAMES)
    assert within_folds(found).tolist() == [1, 1, 1]
    assert scores(found)["auroc_disease"].value < 0.8


def test_classes_that_are_not_scored_or_that_a_network_has_not_seen_are_named():
    assert class_notes(from_slices(table(), NAMES)) == []
    rows = table(repeats=1)
    rows.loc[rows["subject"] == "s03", "label"] = "MCI"
    rows["MCI"] = 0.0
    few, unseen = class_notes(from_slices(rows, ["AD", "CN", "MCI"]))
    assert few == "fewer than 5 patients, left out of balanced accuracy: MCI 1"
    assert unseen == "all patients of MCI are tested in one fold, whose network has seen none of them"
