import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from functions.evaluation.clinical.precision_recall import average_precision


def test_a_score_without_information_has_about_the_prevalence_and_a_perfect_one_no_interval():
    generator, sick = np.random.default_rng(0), np.arange(4000) < 800
    assert average_precision(generator.normal(size=4000), sick).value == pytest.approx(0.2, abs=0.03)
    sure = average_precision(sick * 1.0, sick)
    assert sure.value == 1
    assert np.isnan([sure.low, sure.high]).all()


def test_the_interval_is_of_the_number_of_diseased_patients_and_covers():
    generator, sick = np.random.default_rng(1), np.arange(60) < 20
    many = np.arange(30000) < 10000
    truth, inside = average_precision_score(many, generator.normal(size=30000) + many), []
    for _ in range(100):
        found = average_precision(generator.normal(size=60) + sick, sick)
        assert 0 < found.low < found.value < found.high < 1
        inside.append(found.low <= truth <= found.high)
    assert np.mean(inside) > 0.92
    assert np.isnan(average_precision(generator.normal(size=29), np.arange(29) < 12).low)
    narrow = average_precision(generator.normal(size=3000) + (np.arange(3000) < 1000), np.arange(3000) < 1000)
    assert narrow.high - narrow.low < (found.high - found.low) / 3
