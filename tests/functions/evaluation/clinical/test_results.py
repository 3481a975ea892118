from dataclasses import replace

import numpy as np
import pytest

from functions.evaluation.clinical.results import (
    Clinical,
    Interval,
    OperatingPoint,
    PredictiveValues,
    Recalibration,
    impossible,
)

POINT = OperatingPoint(0.9, 0.4, 12, Interval(0.7, 0.5, 0.8), Interval(0.9, 0.8, 0.95), [
    PredictiveValues(0.1, Interval(0.4, 0.2, 0.6), Interval(0.97))])
FITTED = Recalibration(Interval(1.2, 0.5, 2), Interval(-0.3), [[0.1, 0.2, np.nan, np.nan]], [[0.1, 0.2, 0, 0.5, 8]])
WHOLE = Clinical(0.4, POINT, Interval(0.6, 0.4, 0.8), FITTED, [[0.5, 0.2, -0.2]], ["a note"])


@pytest.mark.parametrize(("name", "wrong"), [
    ("prevalence", replace(WHOLE, prevalence=1.2)),
    ("operating_point.sensitivity", replace(WHOLE, operating_point=replace(
        POINT, sensitivity=Interval(0.7, 0.8, 0.5)))),
    ("operating_point.predictive.ppv", replace(WHOLE, operating_point=replace(POINT, predictive=[
        PredictiveValues(0.1, Interval(1.4), Interval(0.97))]))),
    ("operating_point.validation_healthy", replace(WHOLE, operating_point=replace(POINT, validation_healthy=-1))),
    ("average_precision", replace(WHOLE, average_precision=Interval(-0.1))),
    ("recalibration.slope", replace(WHOLE, recalibration=replace(FITTED, slope=Interval(1, 3, 2)))),
    ("recalibration.curve", replace(WHOLE, recalibration=replace(FITTED, curve=[[0.1, 0.2]]))),
    ("recalibration.groups", replace(WHOLE, recalibration=replace(FITTED, groups=[[0.1, 0.2, 0, 2, 8]]))),
    ("net_benefit", replace(WHOLE, net_benefit=[[0.5, 0.2]])), ("net_benefit", replace(WHOLE, net_benefit=[[1, 0, 0]])),
])
def test_an_impossible_entry_is_named(name, wrong):
    assert impossible(WHOLE) is impossible(Clinical()) is None
    assert impossible(wrong) == name
