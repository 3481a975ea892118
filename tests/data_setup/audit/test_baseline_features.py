import numpy as np
import pytest
from PIL import Image

from data_setup.audit.baseline_features import four_numbers, patient_table


def brain(ventricle=6):
    """A bright square of 40 pixels with a dark square in its middle and a grey stripe on top, on black."""
    image = np.zeros((60, 50), dtype=np.uint8)
    image[10:50, 5:45] = 200
    image[10:14, 5:45] = 100
    image[30 - ventricle : 30 + ventricle, 25 - ventricle : 25 + ventricle] = 10
    return image


def test_shares_are_counted_inside_the_brain():
    dark, grey, central, size = four_numbers(brain())
    assert dark == pytest.approx(12 * 12 / 1600)
    assert grey == pytest.approx(4 * 40 / 1600)
    assert size == pytest.approx(1600 / 3000)
    assert central == pytest.approx(144 / (np.pi * 10 * 10), rel=0.05), "the ellipse of half the height and width"


def test_larger_ventricles_move_the_dark_shares_only():
    small, large = four_numbers(brain(4)), four_numbers(brain(8))
    assert large[0] > small[0]
    assert large[2] > small[2]
    assert (large[[1, 3]] == small[[1, 3]]).all()


def test_an_empty_slice_is_all_zero():
    assert (four_numbers(np.zeros((20, 20), dtype=np.uint8)) == 0).all()


def test_slices_are_averaged_in_four_slabs_a_person(tmp_path):
    paths, subjects = [], []
    for subject in ("b", "a"):
        for z in range(8):
            path = tmp_path / f"{subject}_{z}.png"
            Image.fromarray(brain(z + 1 if subject == "a" else 3)).save(path)
            paths.append(str(path))
            subjects.append(subject)
    order = np.random.default_rng(0).permutation(16)
    table, people = patient_table([paths[i] for i in order], [subjects[i] for i in order])
    assert people == ["a", "b"]
    assert table.shape == (2, 16)
    expected = [np.mean([four_numbers(brain(z + 1)) for z in (2 * s, 2 * s + 1)], axis=0) for s in range(4)]
    np.testing.assert_allclose(table[0], np.concatenate(expected))
    np.testing.assert_allclose(table[1].reshape(4, 4), [four_numbers(brain(3))] * 4)
    with pytest.raises(ValueError, match="patient a has 2 slices"):
        patient_table(paths[-2:], subjects[-2:])
