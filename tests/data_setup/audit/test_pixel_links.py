import numpy as np
import pandas as pd

from data_setup.audit.pixel_links import groups_without_chance

SUBJECTS = pd.Series(["a", "a", "b", "b", None, None, np.nan, "c", "d", "e"], dtype=object)
LINKS = [(0, 2), (1, 3), (2, 3), (4, 5), (6, 7), (8, 9)]
GROUPS = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def filtered(others):
    """The result for SUBJECTS among `others` further slices of other patients without links."""
    subjects = pd.concat([SUBJECTS, pd.Series([f"x{row}" for row in range(others)], dtype=object)], ignore_index=True)
    groups, dropped = groups_without_chance(subjects, np.array(GROUPS + [-1] * others), np.array(LINKS))
    return groups[:10].tolist(), dropped


def test_where_links_are_rare_one_link_does_not_make_two_named_patients_one():
    groups, dropped = filtered(others=200)
    assert dropped == 1                                             # d and e; a and b have two, the others no names
    assert groups == [0, 0, 0, 0, 1, 1, 2, 2, -1, -1]


def test_where_links_are_frequent_all_count():
    assert filtered(others=20) == (GROUPS, 0)


def test_without_links_nothing_changes():
    groups, dropped = groups_without_chance(SUBJECTS, np.full(10, -1), np.empty((0, 2), int))
    assert (groups.tolist(), dropped) == ([-1] * 10, 0)
