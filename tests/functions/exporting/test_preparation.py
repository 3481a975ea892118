import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_setup.images.read import WHITE_LEVEL
from data_setup.images.resize import Frame
from data_setup.loading.transforms import describe_preprocessing, image_reader
from functions.exporting.preparation import Preparation

FRAMES = [Frame((24, 18)), Frame((20, 20), "crop", 0.9, "bicubic"), Frame((24, 18), "crop", 0.875),
          Frame((24, 18), "stretch", interpolation="bicubic")]
SIZES = [(18, 24), (41, 31), (31, 40), (7, 50), (20, 20)]         # width, height
MEAN, STD = (0.3, 0.4, 0.2), (0.2, 0.25, 0.3)


def prepared(frame, channels):
    return Preparation(**vars(frame), mean=MEAN[:channels], std=STD[:channels])


def save(path, mode, size, seed=0):
    draw = np.random.default_rng(seed)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    kind = np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(draw.integers(5, 900 if mode == "I;16" else 256, shape).astype(kind)).save(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame.mode}{frame.size}")
def test_the_code_prepares_a_file_exactly_as_training_does(frame, channels, mode, tmp_path):
    steps = {}
    exec(prepared(frame, channels).code(), steps)
    read = image_reader(describe_preprocessing(frame, channels, list(MEAN[:channels]), list(STD[:channels])))
    for size in SIZES:
        save(tmp_path / "slice.png", mode, size)
        found = steps["prepare"](tmp_path / "slice.png")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, read(tmp_path / "slice.png").numpy(), atol=1e-6, err_msg=str(size))


def test_the_code_handles_a_constant_deep_image_a_white_level_and_an_orientation(tmp_path):
    steps = {}
    exec(prepared(FRAMES[0], 1).code(), steps)
    read = image_reader(describe_preprocessing(FRAMES[0], 1, [0.3], [0.2]))
    Image.fromarray(np.full((30, 20), 700, np.uint16)).save(tmp_path / "constant.png")
    turned = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(30, 20).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    white = PngInfo()
    white.add_text(WHITE_LEVEL, "40000")
    Image.fromarray(np.arange(0, 60000, 100, dtype=np.uint16).reshape(30, 20)).save(tmp_path / "w.png", pnginfo=white)
    for name in ("constant.png", "turned.png", "w.png"):
        np.testing.assert_allclose(steps["prepare"](tmp_path / name), read(tmp_path / name).numpy(), atol=1e-6)


def test_the_words_say_every_number_and_what_cannot_be_expressed():
    fit, crop, rectangle, stretch = (prepared(frame, channels) for frame, channels in zip(FRAMES, (1, 3, 3, 1),
                                                                                         strict=True))
    assert "min(24 / H, 18 / W)" in fit.steps()[1]
    assert "20 / 0.9 x 20 / 0.9" in crop.steps()[1]
    assert "bicubic" in crop.steps()[1]
    assert "stretched to 24 high and 18 wide" in stretch.steps()[1]
    for preparation in (fit, crop, rectangle, stretch):
        assert f"minus {list(preparation.mean)}, divided by {list(preparation.std)}" in preparation.steps()[2]
    said = [" ".join(preparation.deviations()) for preparation in (fit, crop, rectangle, stretch)]
    assert ["rounds the scaled size down" in text for text in said] == [True, False, False, False]
    assert ["begin one pixel earlier" in text for text in said] == [False, True, False, False]
    assert ["must already be 24 x 18" in text for text in said] == [False, False, True, False]
    assert ["colour is not converted to gray" in text for text in said] == [True, False, False, True]
