import numpy as np
import pytest

from data_setup.volumes.slices import Settings, choose, find_head, frame, make_slices, resample, window
from data_setup.volumes.volume import VolumeError, make_volume
from functions.runtime.errors import UserError
from tests.data_setup.volumes.heads import AFFINE, ORIENTATIONS, SETTINGS, head, turned


def test_the_slices_are_the_same_in_all_48_orientations():
    expected = make_slices(make_volume(head(), AFFINE), SETTINGS)
    assert expected.pixels.shape == (3, 50, 40)
    assert len(np.unique(expected.pixels)) > 50
    for axes in ORIENTATIONS:
        found = make_slices(make_volume(*turned(head(), axes)), SETTINGS)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.z == pytest.approx(expected.z)


def test_a_slice_is_radiological_anterior_up_and_the_right_at_the_left():
    data = np.zeros((20, 24, 3), np.uint8)
    data[3:17, 4:20] = 50
    data[15:17, 10:14], data[9:11, 18:20] = 200, 250            # at the right; anterior
    drawn, note = frame(data, data > 0, (24, 20))
    right, front = (np.argwhere(drawn[0] == level).mean(axis=0) for level in (200, 250))
    assert right[1] < 5
    assert front[0] < 5
    assert not note
    assert frame(data, data > 0, (10, 20))[1] == "the frame of 10 x 20 cuts off 3 pixels of the head"


def test_resampling_keeps_places_in_mm():
    ramp = np.arange(10, dtype=np.float32)[:, None, None] + np.zeros((10, 4, 5), np.float32)
    finer = resample(ramp, (3, 2, 1), 1.5)
    assert finer.shape == (19, 5, 3)
    np.testing.assert_allclose(finer[:, 2, 1], np.arange(19) / 2, atol=1e-5)
    assert resample(ramp, (2, 2, 2), 2.0) is ramp


def test_larger_voxels_are_smoothed_before_but_not_more_than_needed():
    fine = np.zeros((40, 6, 5), np.float32)
    fine[::2] = 8
    coarse = resample(fine, (1, 1, 1), 2.0)[3:-3]
    assert (coarse.min(), coarse.max()) == pytest.approx((6.3, 6.3), abs=0.3)         # not 8, not 0
    step = np.zeros((40, 6, 5), np.float32)
    step[20:] = 8
    assert resample(step, (1, 1, 1), 2.0)[[8, 11], 1, 1] == pytest.approx([0, 8], abs=0.1)


def test_the_scalp_does_not_set_the_window():
    data = np.zeros((20, 20, 4), np.float32)
    data[2:18, 2:18] = 1000
    data[5:15, 5:15] = np.linspace(90, 110, 100).reshape(10, 10, 1)
    low, high = window(data, data > 0, np.array([1, 2]))
    assert (low, high) == (0, pytest.approx(110, abs=5))


def test_edge_slices_are_not_chosen_and_the_top_decides():
    area = np.zeros(200)
    area[20:170] = 100 * (1 - ((np.arange(150) - 75) / 76) ** 2)
    chosen, note = choose(area, Settings(slices=7))
    assert (chosen.min(), chosen.max(), note) == (67, 127, "")             # the top is slice 167
    cut, note = choose(area[:150], Settings(slices=7))
    assert "outside the volume" in note
    assert abs(cut - chosen).max() <= 5
    blank = np.full(12, 50.0)
    blank[[0, -1]] = 0
    chosen, _ = choose(blank, Settings(slices=8, spacing=4))
    assert (chosen.min(), chosen.max()) == (2, 9)
    with pytest.raises(VolumeError, match="fewer than --slices 9"):
        choose(blank, Settings(slices=9, spacing=4))


def test_the_window_belongs_to_the_volume_and_leaves_its_scale_and_one_bright_spot_out():
    plain = make_slices(make_volume(head(), AFFINE), SETTINGS)
    bright = head().astype(np.float32) * 7 + 100
    bright[6, 10, 15] = 1e5                                       # scalp, outside the middle
    scaled = make_slices(make_volume(bright, AFFINE), SETTINGS)
    different = np.abs(scaled.pixels.astype(int) - plain.pixels) > 1
    assert np.count_nonzero(different) < 20
    assert scaled.window[1] == pytest.approx(plain.window[1] * 7 + 100, rel=0.01)
    deep = make_slices(make_volume(head(), AFFINE), Settings(3, (50, 40), 4.0, bits=16))
    np.testing.assert_allclose(deep.pixels / 65535, plain.pixels / 255, atol=1 / 255)
    assert deep.pixels.dtype == np.uint16


def test_the_head_is_the_largest_bright_region_and_masked_volumes_are_noted():
    data = head().astype(np.float32)
    data[1:3, 1:3, 1:3] = 500
    found, notes = find_head(data)
    assert not found[1, 1, 1]
    assert found[16, 23, 15]
    assert ("skull-stripped" in "".join(notes)) == (np.mean(data == 0) > 0.6)


def test_settings_out_of_range_are_refused():
    for wrong in ({"slices": 0}, {"spacing": 9}, {"orientation": "LLS"}):
        with pytest.raises(UserError, match="--" + next(iter(wrong))):
            Settings(**wrong)


def test_a_background_within_the_intensities_is_made_black_and_inverted_volumes_have_a_reason():
    data = head().astype(np.float32)
    scores = np.where(data > 0, (data - data[data > 0].mean()) / data[data > 0].std(), 0)
    plain, made = (make_slices(make_volume(one, AFFINE), SETTINGS) for one in (data, scores))
    assert made.notes[0] == "its background of 0 is not its lowest intensity; it is made black"
    assert made.pixels[:, :4].max() == 0
    brain = plain.pixels > 100
    assert np.corrcoef(made.pixels[brain], plain.pixels[brain])[0, 1] > 0.9
    assert not any("background" in note for note in plain.notes)
    noisy = data + np.random.default_rng(0).integers(0, 20, data.shape)
    make_slices(make_volume(noisy, AFFINE), SETTINGS)
    for inverted in (-data, 2000 - noisy):
        with pytest.raises(VolumeError, match="inverted: its background is brighter"):
            make_slices(make_volume(inverted, AFFINE), SETTINGS)
