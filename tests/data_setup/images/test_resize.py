import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from data_setup.images import resize as framing
from data_setup.images.resize import Frame, from_description
from functions.runtime.errors import UserError

H, W = 13, 17
RAMP = np.arange(H * W, dtype=np.uint8).reshape(H, W)


@pytest.mark.parametrize("channels", [1, 3])
def test_fit_leaves_an_image_of_the_size_alone(channels):
    image = np.repeat(RAMP[:, :, None], channels, axis=2)
    assert Frame((H, W))(image) is image


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shape", "size", "box"), [
    ((208, 176), (104, 88), (0, 0, 104, 88)),      # same proportions: no padding
    ((40, 20), (30, 30), (0, 7, 30, 15)),          # tall: black left and right
    ((20, 40), (30, 30), (7, 0, 15, 30)),          # wide: black above and below
    ((10, 10), (30, 31), (0, 0, 30, 30)),          # enlarged; the odd column stays right
    ((500, 3), (20, 20), (0, 9, 20, 1)),           # never thinner than one pixel
])
def test_fit_keeps_proportions_centred_on_black(channels, shape, size, box):
    fitted = Frame(size)(np.full((*shape, channels), 200, np.uint8))
    top, left, height, width = box
    expected = np.zeros((*size, channels), np.uint8)
    expected[top:top + height, left:left + width] = 200
    np.testing.assert_array_equal(fitted, expected)


def test_fit_averages_when_it_shrinks():
    """Without antialias a one-pixel chequerboard shrinks to all black or all white."""
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    np.testing.assert_allclose(Frame((16, 16))(board.astype(np.uint8)[:, :, None]), 127.5, atol=3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("shape", "crop", "resize"), [
    ((208, 176), 224, 256), ((176, 208), 224, 256), ((300, 300), 224, 256), ((61, 97), 32, 37), ((208, 176), 384, 384),
])
def test_a_square_crop_is_torchvisions_resize_and_center_crop_pixel_by_pixel(shape, crop, resize, interpolation):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = F.center_crop(F.resize(Image.fromarray(image), [resize], InterpolationMode(interpolation)), [crop])
    ours = Frame((crop, crop), "crop", crop / resize, interpolation)(image)
    np.testing.assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize("shape", [(208, 176), (50, 400), (400, 50), (20, 20)])
def test_a_crop_of_any_proportions_shows_its_share_of_the_tighter_side(shape):
    frame = Frame((48, 40), "crop", 0.8)
    down, across = frame.kept(shape)
    assert max(down, across) == pytest.approx(0.8, abs=0.02)
    assert frame(np.zeros((*shape, 1), np.uint8)).shape == (48, 40, 1)
    assert Frame((48, 40)).kept(shape) == (1.0, 1.0)


def test_a_crop_takes_the_middle():
    image = np.zeros((40, 40, 1), np.uint8)
    image[19:21, 19:21] = 255
    seen = Frame((20, 20), "crop", 0.5)(image)[:, :, 0]
    assert seen[9:11, 9:11].min() == 255
    assert seen.sum() == 4 * 255


def test_stretching_fills_the_size():
    image = np.full((10, 40, 3), 99, np.uint8)
    assert (Frame((24, 24), "stretch")(image) == 99).all()


@pytest.mark.parametrize("mode", ["fit", "crop", "stretch"])
def test_what_comes_out_may_be_written_to(mode):
    """Pillow's own buffers may not, and torch warns of each such slice."""
    assert Frame((12, 10), mode, 0.8 if mode == "crop" else 1.0)(np.zeros((24, 20, 1), np.uint8)).flags.writeable


@pytest.mark.parametrize("frame", [Frame((8, 6)), Frame((8, 6), "crop", 0.875, "bicubic"), Frame((8, 6), "stretch")])
def test_a_frame_is_made_again_from_its_description(frame):
    assert from_description(frame.describe()) == frame


@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2), (1, 200_000)])
def test_a_crop_of_a_strip_of_pixels_takes_no_more_memory_than_it_needs(shape, monkeypatch):
    resized, resize = [], framing._resize
    monkeypatch.setattr(framing, "_resize", lambda image, size, how: resized.append(size) or resize(image, size, how))
    long = np.tile(np.linspace(0, 255, max(shape)).astype(np.uint8), (min(shape), 1))
    image = (long if shape[1] > shape[0] else long.T)[:, :, None]
    cropped = Frame((16, 12), "crop", 0.875)(image)
    assert cropped.shape == (16, 12, 1)
    assert abs(int(cropped.mean()) - 127) < 3, "the middle"
    assert resized[0][0] * resized[0][1] < 60 * 20 * 20


@pytest.mark.parametrize("share", [1e-300, 0.05, 0, 1.5, True, "0.5", 10**400])
def test_a_description_whose_crop_would_take_gigabytes_is_refused(share):
    whole = Frame((8, 12), "crop").describe()
    assert from_description(whole | {"crop_share": 0.1}).share == 0.1
    with pytest.raises(UserError, match="preprocessing: crop_share is .*, not a share from 0.1 to 1"):
        from_description(whole | {"crop_share": share})
