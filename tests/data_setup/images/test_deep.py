import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_setup.images.read import open_image, read_image

H, W = 13, 17
RAMP = np.arange(H * W).reshape(H, W)
BY_RANGE = np.rint(RAMP * 255 / (H * W - 1)).astype(np.uint8)


def png16(path, values):
    """A 16-bit PNG (H, W, 2: gray and alpha, 3: RGB, 4: RGBA), which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, {2: 4, 3: 2, 4: 6}[values.shape[2]], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks))
    return path


def tiff(path, values, order="<", sample_format=1, compress=False):
    """A TIFF of (H, W) or (H, W, C) integers; Pillow writes few of these kinds."""
    height, width, *channels = values.shape
    count = channels[0] if channels else 1
    kind = np.dtype(values.dtype).newbyteorder(order)
    data = values.astype(kind).tobytes()
    data = zlib.compress(data) if compress else data
    depth = values.dtype.itemsize * 8
    tags = [(256, 4, width), (257, 4, height), (258, 3, depth), (259, 3, 8 if compress else 1),
            (262, 3, 2 if count > 1 else 1), (273, 4, 8), (277, 3, count), (278, 4, height), (279, 4, len(data)),
            (339, 3, sample_format)]
    offset, extra = 8 + len(data), b""
    table_end = offset + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, of, value in tags:
        repeats = count if tag in (258, 339) and count > 1 else 1
        letter = {3: "H", 4: "I"}[of]
        packed = struct.pack(f"{order}{repeats}{letter}", *[value] * repeats)
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, of, repeats, table_end + len(extra))
            extra += packed
        else:
            entries += struct.pack(f"{order}HHI", tag, of, repeats) + packed.ljust(4, b"\0")
    path.write_bytes((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", offset) + data
                     + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + extra)
    return path


def test_unsigned_32_bits_do_not_wrap(tmp_path):
    values = (2**31 - 110 * 10**7 + RAMP * 10**7).astype(np.uint32)        # half of them above 2^31
    path = tiff(tmp_path / "a.tif", values)
    assert Image.open(path).mode == "I"
    assert (np.asarray(Image.open(path)) < 0).any(), "Pillow reads them as signed"
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], BY_RANGE)


@pytest.mark.parametrize(("dtype", "order"), [(np.int32, "<"), (np.int32, ">"), (np.int16, "<"),
                                              (np.int16, ">"), (np.int8, "<")])
def test_signed_integers_keep_their_order(tmp_path, dtype, order):
    values = (RAMP - 110).astype(dtype)
    path = tiff(tmp_path / "a.tif", values, order, sample_format=2)
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], BY_RANGE)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_gray_with_alpha_keeps_its_levels(tmp_path, channels):
    twelve_bits = RAMP * 18                                          # 0 to 3960: Pillow keeps 16 levels of them
    path = png16(tmp_path / "la.png", np.stack([twelve_bits, np.full_like(RAMP, 65535)], axis=2))
    np.testing.assert_array_equal(read_image(path, channels), np.stack([BY_RANGE] * channels, axis=2))
    alpha = np.where(RAMP % 2 == 0, 65535, 0)
    path = png16(tmp_path / "half.png", np.stack([twelve_bits + 1, alpha], axis=2))
    read = read_image(path, 1)[:, :, 0]
    assert (read[alpha == 0] == 0).all(), "transparent is black"
    assert len(np.unique(read)) > 100


@pytest.mark.parametrize("kind", ["png", "tiff little", "tiff big", "png with alpha", "tiff with alpha"])
def test_sixteen_bit_colour_keeps_its_levels(tmp_path, kind):
    colour = np.stack([RAMP * 18, RAMP[::-1] * 18, RAMP[:, ::-1] * 18], axis=2)
    deep = np.dstack([colour, np.full_like(RAMP, 65535)]) if "alpha" in kind else colour
    if kind.startswith("png"):
        path = png16(tmp_path / "a.png", deep)
    else:
        path = tiff(tmp_path / "a.tif", deep.astype(np.uint16), ">" if "big" in kind else "<")
    expected = np.stack([BY_RANGE, BY_RANGE[::-1], BY_RANGE[:, ::-1]], axis=2)
    np.testing.assert_array_equal(read_image(path, 3), expected)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    gray = np.rint((luma - luma.min()) * 255 / (luma.max() - luma.min()))
    np.testing.assert_allclose(read_image(path, 1)[:, :, 0], gray, atol=1)


def test_compressed_sixteen_bit_colour_keeps_its_levels(tmp_path):
    """libtiff hands the values over in the machine's byte order."""
    colour = np.stack([RAMP * 18] * 3, axis=2).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", colour, compress=True)
    assert open_image(path).tile[0].codec_name == "libtiff"
    np.testing.assert_array_equal(read_image(path, 1)[:, :, 0], BY_RANGE)
