from dataclasses import replace

import numpy as np
import pytest

from functions.evaluation.clinical.clinical import clinical
from functions.evaluation.clinical.operating_point import threshold_at
from functions.evaluation.predictions import Predictions
from tests.functions.evaluation.cohorts import predictions


def some(predictions, patients):
    """The slices of the first `patients` patients."""
    kept = np.isin(predictions.subjects, np.unique(predictions.subjects)[:patients])
    return Predictions([path for path, keep in zip(predictions.paths, kept, strict=True) if keep],
                       predictions.subjects[kept].tolist(), predictions.labels[kept], predictions.probabilities[kept],
                       predictions.class_names)


def test_everything_is_of_patients_and_the_threshold_of_validation_patients():
    test, val = predictions("test"), predictions("val")
    found = clinical(test, val, 0.1)
    p, labels, _ = val.rows("patient")
    assert found.operating_point.threshold == pytest.approx(threshold_at(1 - p[:, 1], labels != 1, 0.9))
    assert found.operating_point.validation_healthy == (labels == 1).sum()
    q, labels, _ = test.rows("patient")
    assert found.operating_point.threshold != pytest.approx(threshold_at(1 - q[:, 1], labels != 1, 0.9))
    assert found.prevalence == (labels != 1).mean()
    assert [values.prevalence for values in found.operating_point.predictive] == [found.prevalence, 0.1]
    assert found.average_precision.value > found.prevalence
    assert sum(group[4] for group in found.recalibration.groups) == 40
    assert found.notes == []
    assert len(clinical(test, val).operating_point.predictive) == 1


def test_what_cannot_be_given_has_a_note_that_says_why():
    test, val = predictions("test"), predictions("val")
    without = clinical(test, None)
    assert without.operating_point is None
    assert without.average_precision
    assert "no validation patients" in without.notes[0]
    few = clinical(test, some(val, 12))
    assert few.operating_point is None
    assert "healthy validation patients, and a specificity of 90% needs at least 10" in few.notes[0]
    assert "validation patients are unknown" in clinical(test, replace(
        val, given_subjects=[None] * len(val.labels))).notes[0]
    assert "fewer than 30 test patients" in clinical(some(test, 29), val).notes[0]
    assert clinical(some(test, 29), val).recalibration is None
    for made, why in ((replace(test, class_names=["a", "b", "c"]), "no class is known to be healthy"),
                      (replace(test, given_subjects=[None] * len(test.labels)), "the patients are unknown"),
                      (some(test, 4), "fewer than 5 healthy or fewer than 5 diseased"),
                      (replace(test, labels=np.arange(len(test.labels)) % 3), "several labels")):
        found = clinical(made, val)
        assert len(found.notes) == 1
        assert why in found.notes[0]
        assert found.operating_point is found.average_precision is found.recalibration is None
        assert found.net_benefit == []
