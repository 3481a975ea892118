"""HTML pages from the jinja2 templates in templates/: self-contained, without scripts and without network access.

No Python file holds HTML. Modules hand over texts, tables and pictures, and the templates lay them out.
"""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from functions.reports.figure_text import Figure
from functions.runtime.atomic_files import write_atomically
from functions.runtime.errors import printable

TEMPLATES = Path(__file__).parent / "templates"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"       # no script, no network, no form
PAGE_DPI, FILE_DPI = 144, 300            # of figures in the page, and of their files beside it
THUMBNAIL = 288                          # pixels of the longer side


@dataclass(frozen=True)
class Table:
    """A table; `pairs`: its rows are (name, long value), and values are wrapped instead of scrolled."""

    head: Sequence
    rows: Sequence[Sequence]
    caption: str = ""
    pairs: bool = False

    @property
    def counts(self) -> list[bool]:
        """Whether each column has counts alone, which are right-aligned."""
        return [bool(self.rows) and all(re.fullmatch(r"[\d,]+", str(row[k])) for row in self.rows)
                for k in range(len(self.head))]

    @staticmethod
    def is_number(cell: object) -> bool:
        """Whether a cell is a number with or without an interval, which is not wrapped."""
        return bool(re.fullmatch(r"[-+]?\d[\d.,]*( \[.*\])?", str(cell)))


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, and its description."""

    source: str
    text: str


@dataclass(frozen=True)
class Finding:
    """A finding of an audit; `wrong`: a fault."""

    text: str
    wrong: bool


def render(template: str, title: str, caveats: Sequence[str], **content) -> str:
    """The page of a template: the title, the caveats in frames, and its `content`."""
    return _environment().get_template(template).render(title=title, caveats=caveats, policy=POLICY, **content)


def fragment(template: str, **content) -> str:
    """The HTML of a template without a page around it."""
    return _environment().get_template(template).render(**content)


def style(name: str) -> str:
    """The text of a style sheet."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Every value is escaped for HTML content and quoted attributes; an undefined name is an error."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, finalize=_finalize,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)


def _finalize(value: object) -> str:
    """A value with control characters and broken Unicode escaped; the HTML of a macro as it is."""
    return value if isinstance(value, Markup) else printable(value)


def png(figure: Figure, dpi: int = PAGE_DPI) -> bytes:
    """A matplotlib figure as PNG bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def write_png(file: Path, figure: Figure) -> None:
    """Writes a matplotlib figure in the resolution of files."""
    write_atomically(file, partial(figure.savefig, format="png", dpi=FILE_DPI))


def picture(figure: Figure, text: str) -> Picture:
    """A matplotlib figure in the page's resolution."""
    return Picture(_uri(png(figure), "png"), text)


def thumbnails(pictures: Sequence[tuple[np.ndarray, str]]) -> list[Picture]:
    """Small copies of gray images (H, W) uint8 with captions."""
    made = []
    for pixels, caption in pictures:
        file = io.BytesIO()
        small = Image.fromarray(pixels)
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(file, "JPEG", quality=80)
        made.append(Picture(_uri(file.getvalue(), "jpeg"), caption))
    return made


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
