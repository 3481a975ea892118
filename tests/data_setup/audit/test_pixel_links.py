import numpy as np
import pandas as pd

from data_setup.audit.pixel_links import groups_without_chance


def table(subjects, splits):
    return pd.DataFrame({"subject": subjects, "split": splits})


def grouped(frame, links):
    """Groups of the components, by hand: every link joins the groups of its two rows."""
    label = list(range(len(frame)))
    for i, j in links:
        label = [label[i] if one == label[j] else one for one in label]
    found = np.array([one if label.count(one) > 1 else -1 for one in label])
    return groups_without_chance(frame, found, np.array(links).reshape(-1, 2))


def same_groups(found, *rows):
    return all(len({found[row] for row in one} - {-1}) == 1 for one in rows)


def test_single_links_between_names_are_chance_if_as_frequent_within_a_split():
    frame = table(list("aabbccdd"), ["train"] * 4 + ["test"] * 4)
    found, dropped = grouped(frame, [(0, 1), (1, 2), (3, 4), (5, 6)])      # a-b, c-d within; b-c across
    assert dropped == 3
    assert same_groups(found, (0, 1))
    assert (found[2:] == -1).all()


def test_single_links_that_are_more_frequent_across_splits_are_a_leak():
    frame = table([f"p{row}" for row in range(12)], ["train", "test"] * 6)
    found, dropped = grouped(frame, [(row, row + 1) for row in range(0, 12, 2)])
    assert dropped == 0
    assert same_groups(found, *((row, row + 1) for row in range(0, 12, 2)))


def test_several_links_make_two_names_one_patient_and_unknown_patients_keep_their_links():
    frame = table(["a", "a", "b", "b", None, None, np.nan, "c", "d", "e"],
                  ["train", "train", "test", "test", "train", "test", "test", "train", "train", "train"])
    found, dropped = grouped(frame, [(0, 2), (1, 3), (2, 3), (4, 5), (6, 7), (8, 9)])
    assert dropped == 1                                                     # d-e
    assert same_groups(found, (0, 2, 3), (4, 5), (6, 7))
    assert (found[8:] == -1).all()
    assert grouped(frame.iloc[:4], [(0, 1)])[1] == 0
