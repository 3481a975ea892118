"""The built-in data set: generated brain slices of generated patients, with known labels.

    python -m data_setup.phantom OUT --people 100 --slices 8 --seed 0 [--fault leak ...] [--contact_sheet FILE]

Every patient has an individual anatomy that is independent of the label, and a disease drawn from overlapping
distributions (`people.py`), so that perfect accuracy is not possible: `ceiling` computes the best possible
score. The same seed gives the same bytes on any machine. The data set tests programs; it says nothing about real
patients.
"""

import csv
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np

from data_setup.phantom.anatomy import render, structures
from data_setup.phantom.ceiling import ceiling
from data_setup.phantom.faults import FAULTS, UNREADABLE, UNUSUAL, Slice, check_faults, plant
from data_setup.phantom.people import CDR, CLASSES, LATENTS, Draws, draw_person
from functions.runtime.errors import UserError

__all__ = ["CDR", "CLASSES", "FAULTS", "LATENTS", "ceiling", "contact_sheet", "make_phantom"]

COLUMNS = ("path", "class", "stage", "subject", "split", "slice", "age", "sex", *LATENTS[1:], "fault")


def make_phantom(out, people=100, slices=8, seed=0, faults=()):
    """Writes OUT/train/<class>/*.png, OUT/test/<class>/*.png (8-bit gray, 96 high, 80 wide) and OUT/manifest.csv.

    40 % of the patients, none of whom is in train, make up test; a file is named sub-012_ses-1_z07.png after its
    patient and its slice, counted from the lowest. In the manifest `stage` is the Clinical Dementia Rating, the
    quantities are those of `people.py`, and `fault` names what `faults.py` planted. Everything is written to a
    temporary folder beside OUT and renamed at the end. Returns OUT. UserError for an OUT that exists, an unknown fault,
    fewer than 10 patients (a class would be missing), less than one slice, a negative seed.
    """
    faults = tuple(faults)
    check_faults(faults)
    check_numbers(("people", people, 10), ("slices", slices, 1), ("seed", seed, 0))
    out = check_new(out)
    files = plant(draw_slices(people, slices, seed, confounded="age" in faults), faults, seed)
    return write_set(out, CLASSES, COLUMNS, slice_files(files))


def check_numbers(*numbers):
    """UserError for a (name, value, least) whose value is too small."""
    for name, value, least in numbers:
        if value < least:
            raise UserError(f"{name} is {value}, it must be at least {least}")


def check_new(out):
    """`out` as a path; UserError if it exists."""
    if os.path.lexists(out):
        raise UserError(f"{out} exists already; name a folder that does not")
    return Path(out)


def write_set(out, classes, columns, files):
    """Writes the files and manifest.csv to a temporary folder beside OUT, which is renamed at the end; returns OUT.

    `files` are (bytes, manifest row), the row in the order of `columns`, of which the first is the path.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part-{os.getpid()}")
    part.mkdir()
    try:
        write(part, classes, columns, files)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part)
        raise
    return out


def draw_slices(people, slices, seed, confounded):
    """Every patient's slices without any fault but `age`; a patient depends on the seed and their number only."""
    drawn = []
    for number in range(people):
        draws = Draws(seed, number, 2)
        person = draw_person(seed, number, draws, confounded)
        for index, pixels in enumerate(render(person, slices, draws)):
            name = f"{person.subject}_ses-1_z{index:02d}.png"
            drawn.append(Slice(person, index, person.stage, person.split, name, pixels))
    return drawn


def draw_structures(number, slices, seed):
    """Where ventricles, sulci and head are in the slices of patient `number` of a phantom (`anatomy.structures`).

    `number` counts from 0: sub-012 is patient 11. For sets without the fault `age`.
    """
    draws = Draws(seed, number, 2)
    return structures(draw_person(seed, number, draws), slices, draws)


def write(folder, classes, columns, files):
    """Writes the images and the manifest into a folder."""
    for split in ("train", "test"):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for data, row in files:
            (folder / row[0]).write_bytes(data)
            table.writerow(row)


def slice_files(slices):
    """(bytes, manifest row) of each slice."""
    for one in slices:
        data = encode_png(one.pixels, next((fault for fault in one.faults if fault in UNUSUAL), "gray"))
        data = data[: len(data) // 2] if "truncated" in one.faults else data
        yield b"" if "empty" in one.faults else data, manifest_row(one)


def manifest_row(one):
    person = one.person
    truth = [f"{getattr(person, name):.6f}" if person else "" for name in LATENTS]
    stage = f"{CDR[person.stage if person else one.label]:g}"
    subject, sex = (person.subject, person.sex) if person else ("", "")
    row = (one.path, CLASSES[one.label], stage, subject, one.split, one.index, truth[0], sex, *truth[1:])
    return (*row, ";".join(one.faults))


def encode_png(pixels, kind="gray"):
    """uint8 (height, width) → the bytes of a PNG that looks the same: `gray`, `16-bit`, `rgba` or `palette`.

    The data is stored, not compressed: compressed bytes differ between versions of zlib. (PNG 3rd ed.; RFC 1950, 1951.)
    """
    depth, colour, palette = 8, 0, None
    if kind == "16-bit":
        depth, pixels = 16, (pixels.astype(np.uint16) * 257).astype(">u2")
    elif kind == "rgba":
        colour, pixels = 6, np.stack([pixels, pixels, pixels, np.full_like(pixels, 255)], axis=-1)
    elif kind == "palette":
        colour, palette, pixels = 3, bytes(v for v in range(255, -1, -1) for _ in range(3)), 255 - pixels
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    blocks = [rows[i : i + 65535] for i in range(0, len(rows), 65535)]
    stored = [struct.pack("<BHH", b is blocks[-1], len(b), len(b) ^ 0xFFFF) + b for b in blocks]
    packed = b"\x78\x01" + b"".join(stored) + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", packed), (b"IEND", b"")]
    chunks = [(name, data) for name, data in chunks if data is not None]
    framed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def contact_sheet(folder, rows_per_class=3, classes=CLASSES, index="slice"):
    """A Pillow image of the first patients of every class, one per row, in the order of the manifest's column `index`:
    slices from the lowest to the highest.
    """
    from PIL import Image, ImageDraw

    from data_setup.images.read import open_image

    with open(Path(folder) / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file)
                if row["subject"] and not UNREADABLE & set(row.get("fault", "").split(";"))]
    columns, title, top = 1 + max(int(row[index]) for row in rows), 14, 0
    with open_image(Path(folder) / rows[0]["path"]) as picture:
        width, height = picture.size
    sheet = Image.new("L", (columns * width, len(classes) * (title + rows_per_class * height)))
    for name in classes:
        ImageDraw.Draw(sheet).text((4, top + 1), name, fill=255)
        people = list(dict.fromkeys(row["subject"] for row in rows if row["class"] == name))[:rows_per_class]
        for row in rows:
            if row["class"] == name and row["subject"] in people:
                corner = (width * int(row[index]), top + title + height * people.index(row["subject"]))
                with open_image(Path(folder) / row["path"]) as picture:
                    sheet.paste(picture.convert("L"), corner)
        top += title + rows_per_class * height
    return sheet
