"""Images: programs in disguise, damaged files, bombs, every mode and format, odd files and odd file names."""

import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import TINY
from tests.hostile.bench import Bench, Case

TRAIN = ["--train_dir", "D/train", "--test_dir", "D/test", *TINY, "--epochs", "2", "--stop_after", "1"]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B")
FORMATS = (
    ("png", "PNG"),
    ("tif", "TIFF"),
    ("jpg", "JPEG"),
    ("webp", "WEBP"),
    ("gif", "GIF"),
    ("jp2", "JPEG2000"),
    ("tga", "TGA"),
    ("bmp", "BMP"),
    ("ppm", "PPM"),
)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, content: bytes, depth=8, colour=0, extra=b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def encoded(image: Image.Image, format: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def tiff(pixels: np.ndarray, kind: int, bits: int) -> bytes:
    """An uncompressed gray TIFF; `kind` is 1 (unsigned), 2 (signed) or 3 (floating point)."""
    height, width = pixels.shape[:2]
    raw, entries = pixels.tobytes(), []
    for tag, value in (
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 10 * 12 + 4),
        (277, 1),
        (278, height),
        (279, len(raw)),
        (339, kind),
    ):
        entries.append(struct.pack("<HHII", tag, 4, 1, value))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 10) + b"".join(entries) + b"\0\0\0\0" + raw


def contents() -> Iterator[tuple[str, str, bytes, str]]:
    """(what, ending, content, must): files that are no ordinary image."""
    shell = b"touch ../canary"
    eps = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\n"
        b"(%pipe%touch ../canary) (w) file closefile\nshowpage\n%%EOF\n"
    )
    for ending in ("png", "jpg", "tif", "bmp", "gif", "jp2"):
        yield f"EPS named .{ending}", ending, eps, "refuse"
    for what, content in (
        ("PDF", b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
        ("script", b"#!/bin/sh\n" + shell),
        ("WMF", b"\xd7\xcd\xc6\x9a" + bytes(60)),
        ("ICO", encoded(Image.new("L", (16, 16)), "ICO")),
        ("FITS", b"SIMPLE  =                    T" + b" " * 2850),
        ("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(90)),
        ("pickle", b"cposix\nsystem\n(S'touch ../canary'\ntR."),
        ("SPIDER", bytes(1024)),
        ("MPO", b"\xff\xd8\xff\xe2"),
        ("PSD", b"8BPS\0\1" + bytes(40)),
        ("ICNS", b"icns\0\0\0\x10"),
        ("empty file", b""),
        ("one byte", b"\x89"),
        ("text", b"no image\n" * 9),
        ("HTML of a failed download", b"<!DOCTYPE html><title>404</title>"),
        ("git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
    ):
        yield f"{what} named .png", "png", content, "refuse"
    whole = png(12, 16, zlib.compress(b"\0" * 13 * 16))
    for size in (8, 20, 33, 45, len(whole) - 12, len(whole) - 3):
        yield f"PNG cut after {size} bytes", "png", whole[:size], ""
    noisy = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)), "JPEG")
    for share in (0.1, 0.5, 0.9):
        yield f"JPEG cut at {share:.0%}", "jpg", noisy[: int(len(noisy) * share)], ""
    generator = random.Random(0)
    for ending, format in FORMATS:
        content = bytearray(encoded(Image.fromarray(np.arange(192, dtype=np.uint8).reshape(16, 12)), format))
        for _ in range(9):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        yield f"{format} with nine bits flipped", ending, bytes(content), ""
    for width, height in ((0, 0), (2**31 - 1, 2**31 - 1), (100_000, 100_000), (13_300, 13_000), (2**31 - 1, 1)):
        yield f"PNG that claims {width}x{height}", "png", png(width, height, zlib.compress(b"\0" * 99)), "refuse"
    yield (
        "PNG bomb in a text chunk",
        "png",
        png(12, 16, zlib.compress(b"\0" * 13 * 16), extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))),
        "",
    )
    yield (
        "PNG bomb in its profile",
        "png",
        png(12, 16, zlib.compress(b"\0" * 13 * 16), extra=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(5_000_000)))),
        "",
    )
    yield "whole PNG bomb of 5,000x5,000", "png", png(5_000, 5_000, zlib.compress(bytes(5_001 * 5_000), 1)), ""
    yield "GIF without a frame", "gif", b"GIF89a\x10\0\x10\0\0\0\0;", "refuse"
    yield "TIFF whose directory is its own next", "tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "refuse"
    yield "TIFF whose directory lies beyond its end", "tif", b"II*\0\xff\xff\xff\x7f", "refuse"
    yield "1x1 pixel", "png", png(1, 1, zlib.compress(b"\0\0")), ""
    yield "1x4000 pixels", "png", png(1, 4000, zlib.compress(b"\0\0" * 4000)), ""
    ramp = np.arange(192).reshape(16, 12)
    for what, pixels, kind, bits in (
        ("uint32 above 2**31", (ramp * 22_000_000).astype("<u4"), 1, 32),
        ("int32 below 0", (-ramp).astype("<i4"), 2, 32),
        ("NaN", np.full((16, 12), np.nan, "<f4"), 3, 32),
        ("inf", np.full((16, 12), np.inf, "<f4"), 3, 32),
        ("float64", ramp.astype("<f8"), 3, 64),
        ("float32 beside one NaN", np.where(ramp, ramp, np.nan).astype("<f4"), 3, 32),
        ("int8", ramp.astype("i1"), 2, 8),
        ("uint64", ramp.astype("<u8"), 1, 64),
        ("constant", (ramp * 0).astype("<u2"), 1, 16),
    ):
        yield f"TIFF of {what}", "tif", tiff(pixels, kind, bits), ""
    frames = [Image.new("L", (12, 16), shade) for shade in (10, 200)]
    for ending, format in (("gif", "GIF"), ("tif", "TIFF"), ("png", "PNG"), ("webp", "WEBP")):
        yield (
            f"two frames in a {format}",
            ending,
            encoded(frames[0], format, save_all=True, append_images=frames[1:]),
            "",
        )
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "EXIF orientation 6", "jpg", encoded(frames[0], "JPEG", exif=exif), ""


def modes() -> Iterator[tuple[str, str, bytes, str]]:
    for mode in MODES:
        size = (12, 16)
        try:
            image = (
                Image.new(mode, size)
                if mode in ("PA", "LAB", "HSV", "I;16", "I;16B", "RGBX")
                else Image.fromarray(np.arange(192, dtype=np.uint8).reshape(16, 12)).convert(mode)
            )
        except ValueError:
            continue
        for ending, format in FORMATS:
            try:
                content = encoded(image, format)
            except (OSError, ValueError, KeyError, SystemError):
                continue  # this format has no such mode
            yield f"mode {mode} as {format}", ending, content, ""


def special_files() -> Iterator[tuple]:
    """(what, function that makes the file): what is named as an image and is no file."""
    yield "pipe", os.mkfifo, "slice.png"
    yield "folder named as an image", os.mkdir, "slice.png"
    for target in (
        "/dev/zero",
        "/dev/urandom",
        "/dev/null",
        "/dev/stdin",
        "/etc/passwd",
        "nowhere.png",
        "slice.png",
        "/proc/self/mem",
        ".",
    ):
        yield f"link to {target}", lambda path, target=target: os.symlink(target, path), "slice.png"


NAMES = (
    "sub-01_z1\n.png",
    "\x1b[31mred\x1b[0m.png",
    "a\tb.png",
    "'\"`.png",
    "$(touch canary).png",
    ";touch canary;.png",
    "%s%n%x.png",
    "{0.__class__}.png",
    "=cmd|' -C calc'!A0.png",
    "-rf.png",
    "--help.png",
    "𝔘nicode ☃.png",
    "\u202egnp.exe.png",
    "e\u0301.png",
    "\u00e9.png",
    "a,b;c.png",
    "a\\b.png",
    "~.png",
    "*.png",
    "?.png",
    " .png",
    f"{'x' * 251}.png",
    "<script>alert(1)<script>.png",
    "a.PNG",
    "..png",
    os.fsdecode(b"\xff\xfe.png"),
    "CON.png",
    "\ufeff.png",
    "a\x00b"[:1] + "\r.png",
    "\x7f.png",
    "file:///etc/passwd"[:5] + ".png",
    "https:x.png",
)


def cases(bench: Bench) -> Iterator[Case]:
    for kind, source in (("image contents", contents), ("image modes", modes)):
        for number, (what, ending, content, must) in enumerate(source()):

            def prepare(bench, folder, ending=ending, content=content):
                bench.slices(folder / "D")
                (folder / "D/train/AD" / f"sub-AD01_odd.{ending}").write_bytes(content)

            audited = must != "refuse" and number % 4 == 0
            yield Case(kind, what, *(("audit", ["D"]) if audited else ("train", TRAIN)), prepare, must)
    for what, make, name in special_files():
        yield Case(
            "no files",
            what,
            "train",
            TRAIN,
            lambda bench, folder, make=make, name=name: make(bench.slices(folder / "D") / "train/AD" / name),
        )
    for number, name in enumerate(NAMES):

        def rename(bench, folder, name=name):
            old = next(Path(bench.slices(folder / "D"), "train/AD").iterdir())
            old.rename(old.with_name(name))

        yield Case("file names", repr(name), *(("audit", ["D"]) if number % 4 == 0 else ("train", TRAIN)), rename)
