"""The structures of a phantom slice: where the slice shows them, and as large as the patient's quantities say."""

from dataclasses import replace

import numpy as np
import pytest

from data_setup.phantom.anatomy import structures
from data_setup.phantom.generate import draw_slices, draw_structures
from data_setup.phantom.people import Draws, draw_person

SEED, SLICES = 3, 5


@pytest.fixture(scope="module")
def patients():
    """(images, structures) of four patients, (slices, 96, 80) each."""
    images = np.stack([one.pixels for one in draw_slices(4, SLICES, SEED, confounded=False)]).reshape(4, SLICES, 96, 80)
    return [(images[number] / 255, draw_structures(number, SLICES, SEED)) for number in range(4)]


def test_shares_of_pixels_that_do_not_overlap(patients):
    for image, found in patients:
        assert list(found) == ["ventricles", "sulci", "head"]
        assert all(share.shape == image.shape and share.min() >= 0 and share.max() <= 1 for share in found.values())
        assert (found["ventricles"] + found["sulci"] <= found["head"] + 1e-9).all()
        assert not (found["ventricles"] * found["sulci"]).any()
        assert (image[found["head"] == 0] == 0).all()
        assert not found["ventricles"][-1].any(), "the highest slice has no ventricles"
        assert found["ventricles"][SLICES // 2].sum() > 20


def test_fluid_is_dark_where_it_is_and_not_beside_it(patients):
    """In each patient's own slices: of another patient the same places are not as dark."""
    for number, (image, found) in enumerate(patients):
        for name in ("ventricles", "sulci"):
            sure = found[name] > 0.8
            assert image[sure].mean() < 0.3, name
            assert np.roll(image, 6, axis=2)[sure].mean() > image[sure].mean() + 0.15, name
            others = np.mean([other[sure].mean() for i, (other, _) in enumerate(patients) if i != number])
            assert others > image[sure].mean() + 0.1, name


@pytest.mark.parametrize(("quantity", "values", "name"), [("vbr", (0.04, 0.12), "ventricles"),
                                                          ("csf", (0.15, 0.22), "sulci")])
def test_structures_grow_with_the_disease(quantity, values, name):
    sizes = []
    for value in values:
        draws = Draws(SEED, 0, 2)
        patient = replace(draw_person(SEED, 0, draws), **{quantity: value})
        sizes.append(structures(patient, SLICES, draws)[name].sum())
    assert sizes[1] > 1.5 * sizes[0]
