"""A contact sheet of a volume's slices with orientation letters, so that a person sees a flip at a glance."""

import numpy as np
from PIL import Image, ImageDraw

COLUMNS = 8
TITLE = 14      # pixels


def contact_sheet(pixels: np.ndarray, z: tuple[float, ...], title: str) -> Image.Image:
    """Slices (n, H, W), inferior first, as one 8-bit image with R, L, A, P at their edges and z in mm below each."""
    count, height, width = pixels.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    sheet = Image.new("L", (columns * width, TITLE + rows * (height + TITLE)))
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 1), title, fill=255)
    for number, one in enumerate(pixels):
        left, top = number % columns * width, TITLE + number // columns * (height + TITLE)
        shown = one if one.dtype == np.uint8 else (one >> 8).astype(np.uint8)
        sheet.paste(Image.fromarray(shown), (left, top))
        for letter, x, y in (("R", 3, height / 2), ("L", width - 9, height / 2),
                             ("A", width / 2, 1), ("P", width / 2, height - 12)):
            draw.text((left + x, top + y), letter, fill=255, stroke_width=1, stroke_fill=0)
        draw.text((left + 4, top + height + 1), f"z {z[number]:.0f} mm", fill=255)
    return sheet
