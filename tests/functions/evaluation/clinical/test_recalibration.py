import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from functions.evaluation.clinical.recalibration import recalibration


def cohort(patients, seed, scale=1.5):
    """(calibrated probabilities, diseased)."""
    generator = np.random.default_rng(seed)
    p = expit(scale * generator.normal(-0.4, 1, patients))
    return p, generator.random(patients) < p


def test_calibrated_probabilities_have_slope_1_and_intercept_0_and_others_not():
    p, sick = cohort(6000, 0)
    found = recalibration(p, sick)
    assert found.slope.value == pytest.approx(1, abs=0.1)
    assert abs(found.in_the_large.value) < 0.1
    extreme = recalibration(expit(2 * logit(p)), sick)
    assert extreme.slope.value == pytest.approx(found.slope.value / 2, abs=1e-3)
    low = recalibration(expit(logit(p) - 1), sick)
    assert low.in_the_large.value == pytest.approx(found.in_the_large.value + 1, abs=1e-3)
    assert low.slope.value == pytest.approx(found.slope.value, abs=1e-3)


def test_the_fit_is_that_of_an_unpenalised_logistic_regression():
    p, sick = cohort(90, 1)
    found = recalibration(p, sick)
    fitted = LogisticRegression(C=1e9, tol=1e-9, max_iter=1000).fit(logit(p)[:, None], sick)
    assert found.slope.value == pytest.approx(fitted.coef_[0, 0], abs=1e-3)
    middle = found.curve[20]
    assert middle[1] == pytest.approx(fitted.predict_proba([[logit(middle[0])]])[0, 1], abs=1e-3)


def test_intervals_cover_about_as_often_as_promised():
    """Of 60 patients; without the band's own width it would be far below."""
    inside = {"slope": 0, "intercept": 0, "band": 0}
    for seed in range(80):
        p, sick = cohort(60, seed + 10)
        found = recalibration(p, sick)
        inside["slope"] += found.slope.low <= 1 <= found.slope.high
        inside["intercept"] += found.in_the_large.low <= 0 <= found.in_the_large.high
        inside["band"] += found.curve[20][2] <= found.curve[20][0] <= found.curve[20][3]
        point, _, low, high = found.curve[20]
        inside["band"] += abs(np.clip(point, low, high) - point) < 1e-12


def test_few_patients_have_values_without_intervals_and_separated_ones_none():
    p, sick = cohort(40, 3)
    found = recalibration(p, sick)
    assert np.isfinite(found.slope.value)
    assert np.isnan([found.slope.low, found.in_the_large.high, found.curve[0][2]]).all()
    assert sum(group[4] for group in found.groups) == 40
    assert all(low <= share <= high for _, share, low, high, _ in found.groups)
    assert recalibration(np.linspace(0.1, 0.9, 40), np.arange(40) >= 20) is None
    assert recalibration(np.linspace(0.1, 0.9, 40), np.arange(40) < 20) is None
    assert recalibration(np.full(40, 0.3), np.arange(40) < 20) is None


def test_probabilities_of_0_and_1_are_bounded():
    p, sick = cohort(80, 5)
    p[:2], sick[:2] = [0.0, 1.0], [True, False]
    found = recalibration(p, sick)
    assert 0 < found.slope.value < recalibration(p[2:], sick[2:]).slope.value
