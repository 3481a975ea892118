import numpy as np
import pytest

from functions.evaluation.clinical.decision_curve import THRESHOLDS, decision_curve, net_benefit


def test_net_benefit_counts_false_alarms_at_the_odds_of_the_threshold():
    p, sick = np.array([0.9, 0.6, 0.4, 0.8, 0.2]), np.array([True, True, True, False, False])
    assert net_benefit(p, sick, 0.5) == pytest.approx(2 / 5 - 1 / 5)
    assert net_benefit(p, sick, 0.2) == pytest.approx(3 / 5 - 2 / 5 * 0.25), "p = t is treated"
    assert net_benefit(p, sick, 0.95) == 0


def test_treating_all_has_prevalence_minus_the_weighted_rest_and_is_reached_at_low_thresholds():
    generator = np.random.default_rng(0)
    p, sick = generator.uniform(0.2, 0.95, 50), np.arange(50) < 15
    curve = np.array(decision_curve(p, sick))
    np.testing.assert_allclose(curve[:, 2], 0.3 - 0.7 * THRESHOLDS / (1 - THRESHOLDS))
    below = curve[:, 0] < p.min()
    np.testing.assert_allclose(curve[below, 1], curve[below, 2])
    assert (curve[curve[:, 0] > p.max(), 1] == 0).all()
    perfect = np.array(decision_curve(sick * 1.0, sick))
    np.testing.assert_allclose(perfect[:, 1], 0.3)
