import numpy as np
import pytest

from functions.evaluation.auroc import auroc_interval
from functions.evaluation.clinical import sample_size
from functions.evaluation.clinical.sample_size import Sample, fewest_patients, study_of_difference, study_of_width
from functions.runtime.errors import UserError


@pytest.fixture(autouse=True)
def _fewer_studies(monkeypatch):
    monkeypatch.setattr(sample_size, "STUDIES", 120)


def test_the_half_width_is_that_of_the_projects_interval_and_its_seed_is_fixed():
    found = study_of_width(0.8, 0.08, 0.3, 100)
    low, high = auroc_interval(0.8, 30, 70)
    assert found.diseased == 30
    assert found.mean == pytest.approx((high - low) / 2, abs=0.005)
    assert study_of_width(0.8, 0.08, 0.3, 100) == found
    assert study_of_width(0.8, 0.08, 0.3, 300).share >= found.share
    assert study_of_width(0.8, 1.0, 0.3, 20).share == 1


def test_power_grows_with_patients_and_correlation_and_is_the_error_rate_without_a_difference():
    few, many, alike = (study_of_difference(0.75, 0.1, correlation, 0.5, patients)
                        for correlation, patients in ((0.4, 60), (0.4, 240), (0.85, 60)))
    assert few.share < many.share
    assert few.share < alike.share
    assert many.mean == pytest.approx(0.1, abs=0.01)
    assert study_of_difference(0.75, 0.0, 0.4, 0.5, 100).share < 0.12
    assert np.isclose(study_of_difference(0.75, 0.1, 0.4, 0.02, 20).diseased, 2), "at least two of each kind"


def test_the_search_ends_with_the_smallest_number_that_succeeds_often_enough():
    def study(patients):
        return Sample(patients, patients // 2, min(1.0, patients / 500), 0.0)

    found = fewest_patients(study, 0.8)
    assert found[-1].share >= 0.8
    assert 400 <= found[-1].patients <= 410
    assert all(row.share < 0.8 for row in found[:-1])
    assert fewest_patients(lambda patients: Sample(patients, 5, 1.0, 0.0), 0.8) == [Sample(10, 5, 1.0, 0.0)]
    with pytest.raises(UserError, match="more than 5,120 patients"):
        fewest_patients(lambda patients: Sample(patients, 5, 0.1, 0.0), 0.8)
