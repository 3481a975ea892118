import numpy as np
import pytest
from scipy import stats

from functions.cross_validation.pooled import (
    corrected_t,
    fold_differences,
    paired_auroc,
    pooled_auroc,
    pooled_balanced_accuracy,
)
from functions.evaluation.auroc import auroc, auroc_interval


def cohort(n=60, repeats=4, gain=1.0, seed=0):
    """(scores (R, n), positive (n,)): one signal per patient, and noise of each repeat."""
    generator = np.random.default_rng(seed)
    positive = generator.permutation(np.arange(n) % 2 == 0)
    signal = gain * positive + generator.normal(size=n)
    return signal + 0.3 * generator.normal(size=(repeats, n)), positive


def test_one_repeat_is_a_plain_auroc_with_its_interval():
    scores, positive = cohort(repeats=1)
    found = pooled_auroc(scores, positive)
    value = auroc(scores[0], positive)[0]
    assert found[:3] == pytest.approx((value, *auroc_interval(value, 30, 30)))
    assert np.isnan(found.sd)


def test_equal_repeats_add_no_precision():
    scores, positive = cohort(repeats=1)
    once, often = pooled_auroc(scores, positive), pooled_auroc(np.repeat(scores, 10, axis=0), positive)
    assert often[:3] == pytest.approx(once[:3], abs=1e-9)
    assert often.sd == pytest.approx(0)


def test_the_value_is_the_mean_over_repeats_and_sd_is_between_them():
    scores, positive = cohort()
    each = [auroc(score, positive)[0] for score in scores]
    found = pooled_auroc(scores, positive)
    assert found.value == pytest.approx(np.mean(each))
    assert found.sd == pytest.approx(np.std(each, ddof=1))
    assert found.low < found.value < found.high


def test_the_interval_covers_the_true_auroc_of_new_patients():
    """With signal 1 and noise, the true AUROC is Φ(1 / √(2 · (1 + 0.09)))."""
    true = stats.norm.cdf(1 / np.sqrt(2 * 1.09))
    covered = [found.low <= true <= found.high
               for found in (pooled_auroc(*cohort(seed=seed)) for seed in range(300))]
    assert 0.92 < np.mean(covered) < 0.99


def test_a_paired_difference_is_narrower_than_two_intervals_and_finds_a_gain():
    scores, positive = cohort(n=120)
    worse = scores + np.random.default_rng(1).normal(size=scores.shape[1]) * 1.5
    gap = paired_auroc(scores, worse, positive)
    alone = pooled_auroc(worse, positive)
    assert 0 < gap.low < gap.value < gap.high
    assert gap.p < 0.05
    assert gap.high - gap.low < alone.high - alone.low + 0.1
    back = paired_auroc(worse, scores, positive)
    assert (back.value, back.low, back.high) == pytest.approx((-gap.value, -gap.high, -gap.low))


def test_the_numbers_of_repeats_may_differ():
    scores, positive = cohort()
    gap = paired_auroc(scores, scores[:1], positive)
    assert gap.value == pytest.approx(pooled_auroc(scores, positive).value - auroc(scores[0], positive)[0])


def test_balanced_accuracy_is_the_mean_over_classes_with_enough_patients():
    labels = np.array([0] * 30 + [1] * 20 + [2])                 # one patient of class 2: not scored
    predicted = np.tile(labels, (2, 1))
    predicted[0, :15] = 1                                        # half of class 0 wrong in one of two repeats
    found = pooled_balanced_accuracy(predicted, labels, np.arange(51).astype(str))
    assert found.value == pytest.approx((0.75 + 1) / 2)
    assert found.low < found.value < found.high <= 1
    assert found.sd == pytest.approx(np.std([0.75, 1.0], ddof=1))


def test_fold_differences_compare_within_folds_and_omit_folds_of_one_side():
    positive = np.array([True, False, True, False, True])
    first = np.array([[2.0, 1, 1, 2, 5]])
    second = np.array([[1.0, 2, 1, 2, 5]])
    folds = np.array([[0, 0, 1, 1, 2]])
    assert fold_differences(first, second, positive, folds).tolist() == [1.0, 0.0]


def test_corrected_t_is_wider_than_the_plain_t_test_by_the_overlap_of_training_sets():
    gaps = np.random.default_rng(0).normal(0.05, 0.1, 50)
    found = corrected_t(gaps, folds=5)
    plain = stats.t.interval(0.95, 49, gaps.mean(), stats.sem(gaps))
    assert found.value == pytest.approx(gaps.mean())
    assert (found.high - found.low) / (plain[1] - plain[0]) == pytest.approx(np.sqrt(1 + 50 / 4))
    t = gaps.mean() / np.sqrt((1 / 50 + 1 / 4) * gaps.var(ddof=1))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 49))


def test_corrected_t_of_equal_or_too_few_differences_has_no_p_value():
    assert np.isnan(corrected_t([0.1], 5).p)
    assert np.isnan(corrected_t([], 5).value)
    assert np.isnan(corrected_t([0.0, 0.0], 2).p)
