"""Generated brains for pretraining: what is written beside the slices is what they show."""

import numpy as np
import pytest

from data_setup.phantom.stripped import KINDS, LEVELS, QUANTITIES, RANGES, draw_brains

COLUMN = {name: number for number, name in enumerate(QUANTITIES)}


@pytest.fixture(scope="module", params=KINDS)
def brains(request):
    """(kind, images (30, 3, 96, 80), quantities (30, 3, 8)) of 30 people."""
    images, quantities, stages = draw_brains(request.param, range(30), 3, seed=5)
    assert not stages.any()
    return request.param, images, quantities


def test_quantities_are_in_their_ranges_and_of_the_patient(brains):
    _, _, quantities = brains
    for name, (low, high) in RANGES.items():
        values = quantities[:, :, COLUMN[name]]
        assert (values == values[:, :1]).all(), "one value per patient"
        assert low <= values.min() < low + 0.2 * (high - low) < high - 0.2 * (high - low) < values.max() <= high
    levels = quantities[:, :, COLUMN["level"]]
    assert (np.diff(levels) > 0).all()
    assert LEVELS[0] - 0.05 < levels.min() < levels.max() < LEVELS[1] + 0.05


def test_only_published_brains_have_a_skull_and_all_share_a_brain(brains):
    kind, images, _ = brains
    bright = (images > 10).mean(axis=(1, 2, 3))
    assert (bright.mean() > 0.5) == (kind == "published"), "of the image's area"
    assert bright.min() > 0.2
    assert kind == "published" or not images[:, :, 0].any()


def test_the_shares_grow_with_the_quantities_that_they_show(brains):
    _, _, quantities = brains
    middle = np.abs(quantities[:, :, COLUMN["level"]] - 0.55) < 0.2
    for cause, share in (("root_vbr", "ventricle_share"), ("csf", "sulcus_share")):
        x, y = quantities[:, :, COLUMN[cause]][middle], quantities[:, :, COLUMN[share]][middle]
        assert np.corrcoef(x, y)[0, 1] > 0.6
        other = {"root_vbr": "csf", "csf": "root_vbr"}[cause]
        assert abs(np.corrcoef(quantities[:, :, COLUMN[other]][middle], y)[0, 1]) < 0.5


def test_a_patient_depends_on_the_seed_and_its_number_only():
    whole, alone = draw_brains("fine", range(4), 2, seed=1), draw_brains("fine", [3], 2, seed=1)
    assert (whole[0][3] == alone[0][0]).all()
    assert (draw_brains("fine", [3], 2, seed=2)[0] != alone[0]).any()


def test_patients_by_stage_have_the_stages_and_levels_of_the_built_in_set():
    _, quantities, stages = draw_brains("fine", range(10), 3, seed=0, by_stage=True)
    assert sorted(stages) == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert np.ptp(quantities[:, :, COLUMN["level"]], axis=0).max() <= 0.061, "evenly spaced, but for each patient's own"
    assert (quantities[stages == 2, 0, COLUMN["csf"]].mean() > quantities[stages == 0, 0, COLUMN["csf"]].mean())
