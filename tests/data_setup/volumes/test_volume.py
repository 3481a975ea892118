import numpy as np
import pytest

from data_setup.volumes.volume import VolumeError, affine_of_axes, is_axes, make_volume
from tests.data_setup.volumes.heads import AFFINE, ORIENTATIONS, head, turned


def test_a_volume_in_any_orientation_becomes_the_same_array_with_the_same_affine():
    assert len(set(ORIENTATIONS)) == 48
    for axes in ORIENTATIONS:
        volume = make_volume(*turned(head(), axes))
        assert volume.axes == axes
        np.testing.assert_array_equal(volume.data, head())
        np.testing.assert_allclose(volume.affine, AFFINE)


def test_an_oblique_volume_keeps_its_axes_and_says_its_tilt():
    angle = np.radians(12)
    turn = np.array([[1, 0, 0, 0], [0, np.cos(angle), -np.sin(angle), 0], [0, np.sin(angle), np.cos(angle), 0],
                     [0, 0, 0, 1]])
    volume = make_volume(*turned(head(), "PSL", turn @ AFFINE))
    np.testing.assert_array_equal(volume.data, head())
    assert volume.tilt == pytest.approx(12)
    assert volume.notes == ()
    assert make_volume(head(), turn @ turn @ turn @ AFFINE).notes == ("oblique: its slices are tilted by 36 degrees",)
    np.testing.assert_allclose(volume.spacing, (5, 4, 6))


def test_a_large_offset_does_not_take_levels_away():
    volume = make_volume(head().astype(np.uint32) + 4_000_000_000, AFFINE)
    np.testing.assert_array_equal(volume.data - 4e9, head())
    assert make_volume(head(), AFFINE).data.dtype == np.float32


@pytest.mark.parametrize(("change", "reason"), [
    (lambda data, affine: (np.stack([data, data], axis=3), affine), r"4-D \(32 x 46 x 30 x 2\)"),
    (lambda data, affine: (data[:, :, :1], affine), "one slice only"),
    (lambda data, affine: (np.where(data > 0, data, np.nan), affine), "voxels are NaN"),
    (lambda data, affine: (np.full((5, 6, 7), 3), affine), r"all voxels have one value \(3\)"),
    (lambda data, affine: (data, affine * [1, 1, 0, 1]), "singular"),
    (lambda data, affine: (data, affine[:, [0, 0, 2, 3]]), "singular"),
    (lambda data, affine: (data, affine * np.inf), "not finite"),
    (lambda data, affine: (data, affine * [1000, 1, 1, 1]), "voxels of 5e"),
    (lambda data, affine: (data.astype(complex), affine), "complex"),
])
def test_a_bad_volume_has_a_reason(change, reason):
    with pytest.raises(VolumeError, match=reason), np.errstate(invalid="ignore"):
        make_volume(*change(head(), AFFINE))


def test_axes_are_three_letters_of_three_pairs():
    assert [axes for axes in ("LAS", "PIR", "LAR", "LA", "XYZ", "las") if is_axes(axes)] == ["LAS", "PIR"]
    for axes in ORIENTATIONS:
        assert make_volume(head(), affine_of_axes(axes, (2, 3, 4))).axes == axes
