import numpy as np
import pytest
from PIL import Image

from data_setup.audit.file_features import BANDS, file_features


@pytest.fixture
def tell(tmp_path):
    """What a picture in a file of its own tells, by kind."""
    def of(picture, name="sub-01.png", **options):
        Image.fromarray(picture).save(tmp_path / name, **options)
        return file_features(tmp_path / name, picture)
    return of


@pytest.fixture
def head():
    """A bright disc on black with noise, (96, 80) uint8."""
    y, x = np.mgrid[-48:48, -40:40]
    noise = np.random.default_rng(0).normal(0, 6, (96, 80))
    return np.where(x**2 + y**2 < 35**2, 120 + noise, 0).clip(0, 255).astype(np.uint8)


def test_how_a_file_was_stored_and_named(tell, head):
    png, low, high = tell(head), tell(head, "sub-02.jpg", quality=60), tell(head, "synth_1.jpg", quality=95)
    assert png["format, mode and JPEG tables"] != low["format, mode and JPEG tables"]
    assert low["format, mode and JPEG tables"][2] > high["format, mode and JPEG tables"][2], "coarser tables"
    assert png["name"] == low["name"] != high["name"], "digits do not count"
    assert png["dimensions"] == [80, 96]
    assert high["file size"][0] > low["file size"][0]


def test_power_is_seen_in_its_own_band(tell):
    """A wave of 0.25 cycles a pixel, which is in the third band."""
    wave = (128 + 60 * np.sin(2 * np.pi * 0.25 * np.arange(80)) * np.ones((96, 1))).astype(np.uint8)
    bands = tell(wave)["spectrum"]
    assert len(bands) == len(BANDS) - 1
    assert np.argmax(bands) == 2
    assert bands[2] > max(bands[:2] + bands[3:]) + 5


def test_an_upsampling_grid_is_seen(tell, head):
    grid = head.copy()
    grid[::2, ::2] += 3
    assert tell(grid)["upsampling grid"][0] > tell(head)["upsampling grid"][0] + 1


def test_a_picture_that_was_made_larger_has_other_noise(tell, head):
    """Interpolation leaves less noise, and neighbouring pixels that agree."""
    small = Image.fromarray(head).resize((40, 48), Image.Resampling.BILINEAR)
    large = np.asarray(small.resize((80, 96), Image.Resampling.BICUBIC))
    (strength, _, near, _), (less, _, nearer, _) = tell(head)["noise"], tell(large)["noise"]
    assert less < strength - 0.3
    assert nearer > near + 0.3


def test_white_noise_has_the_kurtosis_of_a_normal_and_leaves_out_the_edge(tell, head):
    strength, kurtosis, *_ = tell(head)["noise"]
    assert np.exp(strength) == pytest.approx(6 * np.sqrt(8 / 9), rel=0.15)
    assert np.exp(kurtosis) == pytest.approx(3, abs=0.6)


def test_stretched_grey_levels_leave_gaps(tell, head):
    stretched = (head.astype(float) * 1.5).clip(0, 255).astype(np.uint8)
    assert tell(stretched)["grey levels"][0] < 0.8 * tell(head)["grey levels"][0]


@pytest.mark.parametrize("picture", [np.zeros((9, 9), np.uint8), np.full((1, 1), 7, np.uint8),
                                     np.full((5, 3), 255, np.uint8)], ids=["black", "one pixel", "white"])
def test_pictures_of_nothing_tell_numbers(tell, picture):
    assert all(np.isfinite(value) for values in tell(picture).values() for value in values)


def test_of_a_large_image_the_middle_is_looked_at(tmp_path, monkeypatch):
    """Time and memory stay bounded: no spectrum of 20 million pixels is taken."""
    monkeypatch.setattr("data_setup.audit.file_features.MAX_SIDE", 64)
    generator = np.random.default_rng(0)
    picture = np.zeros((300, 200), np.uint8)
    picture[118:182, 68:132] = middle = generator.integers(0, 256, (64, 64), dtype=np.uint8)
    found = {}
    for name, pixels in (("large", picture), ("small", middle)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        found[name] = file_features(tmp_path / f"{name}.png", pixels)
    large, small = found["large"], found["small"]
    for kind in ("spectrum", "noise", "grey levels", "upsampling grid"):
        assert large[kind] == small[kind], kind
    assert large["dimensions"] == [200, 300]
    assert large["border"] == [0, 0, 0]


def test_the_border_is_the_two_outermost_pixels_of_every_side(tmp_path):
    pixels = np.zeros((20, 16), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    inside, ring = pixels.copy(), pixels + 40
    inside[2:-2, 2:-2] = 200
    ring[2:-2, 2:-2] = 0
    assert file_features(tmp_path / "a.png", inside)["border"] == [0, 0, 0]
    assert file_features(tmp_path / "a.png", ring)["border"] == [40, 0, 1]
    for side in np.s_[:2, :], np.s_[-2:, :], np.s_[:, :2], np.s_[:, -2:]:
        one = pixels.copy()
        one[side] = 90
        assert file_features(tmp_path / "a.png", one)["border"][0] > 15
