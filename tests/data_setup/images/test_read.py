import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from data_setup.images import read as images
from data_setup.images.read import DEPTH_RULE, WHITE_LEVEL, _DecodedImage, read_gray, read_image
from data_setup.listing.file_types import IMAGE_SUFFIXES
from functions.runtime.errors import UserError

H, W = 13, 17       # 221 pixels, all of different value
RAMP = np.arange(H * W, dtype=np.uint8).reshape(H, W)
RGB = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
BY_RANGE = np.rint(np.arange(H * W) * 255 / (H * W - 1)).astype(np.uint8).reshape(H, W)


def save(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma in float."""
    return rgb @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".pgm", ".gif"])
def test_eight_bit_gray_is_itself_in_one_and_three_channels(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", RAMP)
    np.testing.assert_array_equal(read_image(path, 1), RAMP[:, :, None])
    np.testing.assert_array_equal(read_image(path, 3), np.stack([RAMP] * 3, axis=2))
    assert read_image(str(path), 1).dtype == np.uint8


def test_colour_is_itself_and_becomes_gray_by_luma(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(read_image(path, 3), RGB)
    gray = read_image(path, 1)
    assert gray.shape == (H, W, 1)
    np.testing.assert_allclose(gray[:, :, 0], luma(RGB), atol=0.51)


# 1/3 of the 16-bit range, all of it, and 12 bits in 16: each must fill 0..255 by its own range
@pytest.mark.parametrize(("offset", "step"), [(1000, 100), (0, 297), (0, 18)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_by_their_own_range_never_clipped(tmp_path, suffix, offset, step):
    """Pillow's convert("L") would make nearly all of this 255."""
    deep = (offset + step * np.arange(H * W)).astype(np.uint16).reshape(H, W)
    path = save(tmp_path / f"a{suffix}", deep)
    assert Image.open(path).mode == "I;16"
    gray = read_image(path, 1)[:, :, 0]
    np.testing.assert_array_equal(gray, BY_RANGE)
    assert (np.diff(gray.ravel().astype(int)) >= 1).all()
    np.testing.assert_array_equal(read_image(path, 3), np.stack([BY_RANGE] * 3, axis=2))


def test_other_deep_modes(tmp_path):
    big_endian = Image.frombytes("I;16B", (W, H), (297 * np.arange(H * W)).astype(">u2").tobytes())
    assert Image.open(save(tmp_path / "b.tif", big_endian)).mode == "I;16B"
    save(tmp_path / "i.tif", (70_000 * (np.arange(H * W) - 100)).astype(np.int32).reshape(H, W))
    save(tmp_path / "f.tif", (0.001 * np.arange(H * W) - 0.1).astype(np.float32).reshape(H, W))
    for name, mode, atol in (("b", "I;16B", 0), ("i", "I", 0), ("f", "F", 1)):       # float32 breaks ties its own way
        assert Image.open(tmp_path / f"{name}.tif").mode == mode
        gray = read_image(tmp_path / f"{name}.tif", 1)[:, :, 0].astype(int)
        np.testing.assert_allclose(gray, BY_RANGE, atol=atol, rtol=0)
        assert (gray.min(), gray.max()) == (0, 255)


def test_a_tiff_whose_zero_is_white_is_inverted_at_every_depth(tmp_path):
    """Pillow inverts only up to 8 bits; it writes 16-bit values as they are, whatever the tag says."""
    deep = (250 * np.arange(H * W)).astype(np.uint16).reshape(H, W)
    path = save(tmp_path / "deep.tif", deep, tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], BY_RANGE[::-1, ::-1])
    shallow = save(tmp_path / "shallow.tif", RAMP, tiffinfo={262: 0})   # here Pillow writes 255 - x
    np.testing.assert_array_equal(read_image(shallow, 1)[:, :, 0], RAMP)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_deep_image_is_black(tmp_path, value):
    path = save(tmp_path / "a.png", np.full((H, W), value, np.uint16))
    assert not read_image(path, 1).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_image_that_is_not_finite_is_refused(tmp_path, bad):
    deep = RAMP.astype(np.float32)
    deep[2, 3] = bad
    path = save(tmp_path / "a.tif", deep)
    with pytest.raises(ValueError, match=r"a\.tif: 1 of 221 pixels are NaN or infinite"):
        read_image(path, 1)


def test_one_bit_is_black_and_white(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP % 3 == 0))
    assert Image.open(path).mode == "1"
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], np.where(RAMP % 3 == 0, 255, 0))


def test_a_palette_is_looked_up(tmp_path):
    palette = Image.fromarray(RAMP).copy()
    palette.putpalette([(c * factor + 5) % 256 for c in range(256) for factor in (3, 5, 7)])    # now mode P
    expected = np.stack([(RAMP.astype(int) * factor + 5) % 256 for factor in (3, 5, 7)], axis=2)
    path = save(tmp_path / "a.png", palette)
    assert Image.open(path).mode == "P"
    np.testing.assert_array_equal(read_image(path, 3), expected)
    np.testing.assert_allclose(read_image(path, 1)[:, :, 0], luma(expected), atol=0.51)
    expected[RAMP == 50] = 0                       # transparent colours become black
    path = save(tmp_path / "b.png", palette, transparency=50)
    np.testing.assert_array_equal(read_image(path, 3), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_composited_on_black(tmp_path, channels):
    alpha = RAMP.T.reshape(H, W)
    path = save(tmp_path / "la.png", Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(alpha)]))
    expected = RAMP * (alpha / 255)
    assert Image.open(path).mode == "LA"
    np.testing.assert_allclose(read_image(path, channels), np.stack([expected] * channels, axis=2), atol=1)
    path = save(tmp_path / "rgba.png", np.dstack([RGB, alpha]))
    expected = RGB * (alpha / 255)[:, :, None]
    expected = expected if channels == 3 else luma(expected)[:, :, None]
    np.testing.assert_allclose(read_image(path, channels), expected, atol=1.5)
    path = save(tmp_path / "key.png", RAMP, transparency=9)
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], np.where(RAMP == 9, 0, RAMP))


def test_print_and_video_colours_come_back_close(tmp_path):
    path = save(tmp_path / "cmyk.tif", Image.fromarray(RGB).convert("CMYK"))
    np.testing.assert_allclose(read_image(path, 3), RGB, atol=1)
    path = save(tmp_path / "ycbcr.tif", Image.fromarray(RGB).convert("YCbCr"))
    if Image.open(path).mode == "YCbCr":            # Pillow before 13 cannot read such a file that it wrote
        np.testing.assert_allclose(read_image(path, 3).astype(int), RGB, atol=3)
    else:
        with pytest.raises(UserError, match="ycbcr.tif"):
            read_image(path, 3)
    smooth = np.stack([RAMP // 2 + 60, RAMP // 4 + 90, RAMP // 3 + 80], axis=2)         # well inside Lab's gamut
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    path = save(tmp_path / "lab.tif", ImageCms.profileToProfile(Image.fromarray(smooth), srgb, lab, outputMode="LAB"))
    assert Image.open(path).mode == "LAB"
    np.testing.assert_allclose(read_image(path, 3).astype(int), smooth, atol=4)
    cmyk = np.full((32, 40, 3), (200, 120, 40), np.uint8)
    path = save(tmp_path / "cmyk.jpg", Image.fromarray(cmyk).convert("CMYK"), quality=95)
    np.testing.assert_allclose(read_image(path, 3).astype(int), cmyk, atol=4)


def test_hsv_which_no_file_format_holds_is_converted(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", RGB)
    hsv = Image.fromarray(np.full((H, W, 3), (0, 255, 200), np.uint8), "HSV")
    monkeypatch.setattr("data_setup.images.read._decode", lambda *_: _DecodedImage(hsv, None, 1))
    np.testing.assert_array_equal(read_image(path, 3)[0, 0], (200, 0, 0))


ORIENTED = {1: RAMP, 2: RAMP[:, ::-1], 3: RAMP[::-1, ::-1], 4: RAMP[::-1], 5: RAMP.T, 6: np.rot90(RAMP, -1),
            7: RAMP[::-1, ::-1].T, 8: np.rot90(RAMP)}


@pytest.mark.parametrize("orientation", ORIENTED)
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "a.png", RAMP, exif=exif)
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], ORIENTED[orientation])
    path = save(tmp_path / "deep.png", RAMP.astype(np.uint16) * 200, exif=exif)
    shape = ORIENTED[orientation].shape
    assert read_image(path, 1).shape == (*shape, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_no_image_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a.png: not a regular file"):
        read_image(tmp_path / "a.png", 3)



@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".gif", ".webp"])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.6, 0.9])
def test_a_truncated_or_empty_file_is_refused_in_one_line(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(ValueError, match=r"0 bytes|truncated|decoder|not an image|Truncated") as caught:
        read_image(path, 3)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("not a picture\nat all")
    with pytest.raises(ValueError, match=r"a\.png: unsupported image format"):
        read_image(tmp_path / "a.png", 1)
    with pytest.raises(ValueError, match=r"missing\.png: No such file"):
        read_image(tmp_path / "missing.png", 1)
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        read_image(tmp_path / "a.png", 4)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", RAMP)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ValueError, match=r"a\.png: .*decompression bomb"):
        read_image(path, 1)


@pytest.mark.parametrize("suffix", [".tif", ".gif"])
def test_several_frames_are_refused_with_their_number(tmp_path, suffix):
    frames = [Image.fromarray(RAMP // n) for n in (1, 2, 3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"3 frames in one file"):
        read_image(tmp_path / f"a{suffix}", 1)


def test_the_array_is_writable_and_reading_is_silent(tmp_path):
    path = save(tmp_path / "a.png", RAMP)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(path, 3)[0, 0] = 1


@pytest.mark.parametrize(("text", "expected"), [
    ("1000", [0, 26, 255, 255]), ("65535", [0, 0, 4, 195]), ("0", [0, 1, 5, 255]), ("white", [0, 1, 5, 255])])
def test_a_png_file_may_say_what_is_white(tmp_path, text, expected):
    """round(255 x / white) instead of the image's own range; what is no level is ignored."""
    info = PngInfo()
    info.add_text(WHITE_LEVEL, text)
    Image.fromarray(np.array([[0, 100, 1000, 50000]], np.uint16)).save(tmp_path / "a.png", pnginfo=info)
    assert read_image(tmp_path / "a.png", 1)[0, :, 0].tolist() == expected
    assert read_image(tmp_path / "a.png", 3)[0, :, 2].tolist() == expected


def test_the_depth_rule_is_a_plain_sentence():
    assert "255 * (x - min) / (max - min)" in DEPTH_RULE



EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_only_the_formats_of_the_readme_are_decoded_whatever_the_ending(tmp_path, suffix, monkeypatch):
    """Pillow has Ghostscript run an EPS, whatever the file is called."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / f"a{suffix}").write_bytes(EPS)
    assert Image.open(tmp_path / f"a{suffix}").format == "EPS"
    with pytest.raises(UserError, match="unsupported image format"):
        read_image(tmp_path / f"a{suffix}", 1)
    Image.fromarray(RAMP).save(tmp_path / f"b{suffix}", "PCX")
    with pytest.raises(UserError, match="unsupported image format"):
        read_image(tmp_path / f"b{suffix}", 1)


def test_no_module_opens_images_by_itself():
    root = Path(__file__).resolve().parents[3]
    for path in [*root.glob("*.py"), *(file for folder in ("data_setup", "functions", "tools", "models")
                                       for file in (root / folder).rglob("*.py"))]:
        if path.name not in ("read.py", "grouping_table.py", "preparation.py"):     # what it wrote; text for others
            assert "Image.open(" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "F", "1", "LA"])
def test_a_large_image_is_reduced_as_the_mean_of_blocks(tmp_path, mode, monkeypatch):
    """300 x 170 pixels at a limit of 12,000: blocks of 3 x 3, strips of few rows, the last block of 2."""
    smooth = np.add.outer(np.arange(300), np.arange(170) // 2).astype(float)
    smooth *= 255 / smooth.max()
    if mode in ("I;16", "F"):
        image = Image.fromarray((smooth * 100).astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        image = Image.fromarray(np.rint(smooth).astype(np.uint8)).convert(mode)
    path = save(tmp_path / ("a.tif" if mode == "F" else "a.png"), image)
    whole = read_image(path, 3).astype(float)
    monkeypatch.setattr(images, "MAX_PIXELS", 12_000)
    monkeypatch.setattr(images, "STRIP", 1000)
    monkeypatch.setattr(images, "LARGE", 100)
    small = read_image(path, 3)
    assert small.shape == (100, 57, 3)
    expected = np.stack([[whole[y:y + 3, x:x + 3].mean(axis=(0, 1)) for x in range(0, 170, 3)]
                         for y in range(0, 300, 3)])
    np.testing.assert_allclose(small, expected, atol=2.5 if mode in ("I;16", "F") else 1)       # its own range changes


def test_a_large_images_orientation_is_applied(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[274] = 6
    path = save(tmp_path / "a.png", np.repeat(np.repeat(RAMP, 2, axis=0), 2, axis=1), exif=exif)
    monkeypatch.setattr(images, "MAX_PIXELS", H * W)
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], np.rot90(RAMP, -1))


def test_no_second_image_of_the_size_of_a_large_one_is_held(tmp_path, monkeypatch):
    """Pixels are worked on in strips: whatever is made of the decoded image holds at most a strip of it."""
    path = save(tmp_path / "a.png", np.dstack([RGB, RAMP]).repeat(8, axis=0).repeat(8, axis=1))
    sizes, flatten = [], images._flatten
    monkeypatch.setattr(images, "_flatten", lambda image: (sizes.append(image.width * image.height), flatten(image))[1])
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    monkeypatch.setattr(images, "STRIP", 2000)
    read_image(path, 3)
    assert sum(sizes) == H * W * 64
    assert max(sizes) <= 2000


def test_what_is_compared_has_at_most_512_pixels_a_side(tmp_path):
    wide = np.tile(np.arange(256, dtype=np.uint8), (40, 8))                     # 40 x 2048
    path = save(tmp_path / "a.png", wide)
    assert read_gray(path).shape == (10, 512)
    np.testing.assert_array_equal(read_gray(path), np.rint(wide.reshape(10, 4, 512, 4).mean(axis=(1, 3))))
    np.testing.assert_array_equal(read_gray(save(tmp_path / "b.png", RAMP)), RAMP)
    assert read_gray(path, 100).shape == (2, 98)


def test_of_a_damaged_image_only_our_line_is_printed(tmp_path):
    """Pillow's own warning names no file; a new process, since pytest resets the filters."""
    (tmp_path / "a.tif").write_bytes(b"II*\0\xff\xff\xff\x7f")
    code = ("import sys; from data_setup.images.read import read_image\n"
            "try: read_image(sys.argv[1], 1)\nexcept ValueError: print('refused')")
    command = [sys.executable, "-c", code, tmp_path / "a.tif"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_png_whose_pixels_do_not_have_their_checksum_is_damaged(tmp_path):
    """Pillow does not compare it: of phantom PNGs every third flipped bit was read as pixels."""
    path = tmp_path / "a.png"
    Image.fromarray(RAMP).save(path)
    whole = path.read_bytes()
    place = whole.index(b"IDAT") + 8
    for position in (place, place + 20, len(whole) - 20):
        content = bytearray(whole)
        content[position] ^= 4
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.png: "):
            read_image(path, 1)
    path.write_bytes(whole + b"anything after the end")
    assert read_image(path, 1).shape[:2] == RAMP.shape


def test_memory_that_an_images_size_does_not_explain_is_its_own_fault(tmp_path, monkeypatch):
    """A JPEG 2000 of 110 bytes may hold a box that claims 2**62 of them."""
    Image.fromarray(RAMP).save(tmp_path / "a.png")

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(images, "open_image", refuse)
    with pytest.raises(UserError, match=r"a\.png: decoding needs more memory than its size implies"):
        read_image(tmp_path / "a.png", 1)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_damaged_compressed_tiff_is_one_error_and_nothing_on_standard_error(compression, tmp_path, capfd):
    """libtiff writes messages of its own, by C, which Python's sys.stderr does not see."""
    path = tmp_path / "a.tif"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path, compression=compression)
    content = bytearray(path.read_bytes())
    for place in range(20, len(content) // 2, 37):
        content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.tif: "):
        read_image(path, 1)
    assert capfd.readouterr().err == ""
