import numpy as np

from functions.permutation import permuted


def test_labels_go_to_whole_patients():
    """Two patients of 3 and 1 slices, always called rightly: a permutation is right everywhere or nowhere."""
    p = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]])
    y, who = np.array([0, 0, 0, 1]), np.array(["A", "A", "A", "B"])
    found = permuted(p, y, who, [0, 1], 0, repeats=200, seed=0)
    assert set(found["accuracy"]) == {0, 1}
    assert set(found["auroc_disease"]) == {0, 1}
    assert 0.4 < found["accuracy"].mean() < 0.6


def test_the_same_seed_gives_the_same_null():
    p = np.random.default_rng(0).dirichlet([1, 1, 1], 30)
    y, who = np.arange(30) % 3, np.arange(30)
    once, again, other = (permuted(p, y, who, [0, 1, 2], None, 50, seed)["auroc"] for seed in (0, 0, 1))
    assert (once == again).all()
    assert (once != other).any()
