import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    recall_score,
)

from functions.evaluation.confusion_scores import from_counts, mean_of_known


def test_scores_from_counts_are_scikit_learns():
    generator, order = np.random.default_rng(0), [2, 0, 3, 1]
    rank = np.argsort(order)
    pairs = [generator.integers(0, 4, (2, 50)) for _ in range(6)]
    found = from_counts(np.stack([confusion_matrix(y, call) for y, call in pairs]), np.arange(4), order)
    for i, (y, call) in enumerate(pairs):
        assert found["accuracy"][i] == pytest.approx(accuracy_score(y, call))
        assert found["balanced_accuracy"][i] == pytest.approx(balanced_accuracy_score(y, call))
        assert found["macro_f1"][i] == pytest.approx(f1_score(y, call, average="macro"))
        assert found["kappa"][i] == pytest.approx(cohen_kappa_score(rank[y], rank[call], weights="quadratic"))
        np.testing.assert_allclose(found["sensitivity"][i], recall_score(y, call, average=None))
        np.testing.assert_allclose(found["specificity"][i], [recall_score(y != k, call != k) for k in range(4)])


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
    counts = np.array([[[3, 1, 0], [0, 0, 0], [1, 0, 5]]])
    found = from_counts(counts, np.array([0, 2]), [0, 1, 2])
    assert found["balanced_accuracy"][0] == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert np.isnan(found["sensitivity"][0, 1])
    assert mean_of_known(np.array([[np.nan, 1.0, 3.0]])) == 2
