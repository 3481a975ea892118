"""A self-contained HTML page without network access, for light and dark mode, phones and print."""

import base64
import html
import io
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from functions.reports.figure_text import Figure
from functions.runtime.errors import printable

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"       # no script, no network, no form
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --line: #d0d0d0; --soft: #f4f4f2; --bad: #a32100; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181a; --line: #44484c; --soft: #202326; --bad: #ff9a7a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; border-bottom: 1px solid var(--line); margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; overflow-wrap: normal; }
th { background: var(--soft); } .number { white-space: nowrap; } img { max-width: 100%; height: auto; }
figure { margin: 1rem 0; } .figure { background: #ffffff; padding: .3rem; border: 1px solid var(--line); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.figures .figure { margin: 0; flex: 1 1 24rem; max-width: 34rem; }
.stamp { border: 3px solid var(--bad); color: var(--bad); font-weight: 700; padding: .5rem; text-align: center; }
.wrong { color: var(--bad); font-weight: 600; } .thumbs { display: flex; flex-wrap: wrap; gap: .6rem; }
.thumbs figure { margin: 0; width: 8.5rem; } figcaption { font-size: .8rem; }
@media print { body { max-width: none; font-size: 11px; } h2 { break-after: avoid; } .scroll { overflow: visible; } }
"""


def escaped(text: object) -> str:
    """Text escaped for HTML content and attributes; control characters and broken Unicode are escaped too."""
    return html.escape(printable(text))


def page(title: str, caveats: Sequence[str], sections: Sequence[tuple[str, str]]) -> str:
    """The whole page: title, caveats in frames, then (heading, HTML) sections."""
    frames = "".join(f'<p class="stamp">{escaped(caveat)}</p>' for caveat in caveats)
    body = "".join(f"<section><h2>{escaped(heading)}</h2>{content}</section>" for heading, content in sections)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f"<title>{escaped(title)}</title><style>{STYLE}</style></head>\n"
            f"<body><h1>{escaped(title)}</h1>{frames}{body}</body></html>\n")


def table(head: Sequence, rows: Sequence[Sequence]) -> str:
    """A table that scrolls horizontally if it is too wide."""
    def row(cells: Sequence, tag: str) -> str:
        shown = "".join(f"<{tag}{_kind(str(cell))}>{escaped(cell)}</{tag}>" for cell in cells)
        return f"<tr>{shown}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table><thead>{row(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def _kind(cell: str) -> str:
    return " class=number" if re.fullmatch(r"[-+]?\d[\d.,]*( \[.*\])?", cell) else ""


def paragraphs(*texts: str) -> str:
    """Plain paragraphs."""
    return "".join(f"<p>{escaped(text)}</p>" for text in texts)


def items(texts: Sequence[tuple[str, bool]]) -> str:
    """A list of (text, highlighted)."""
    return "<ul>" + "".join(
        f'<li{" class=wrong" if wrong else ""}>{escaped(text)}</li>' for text, wrong in texts) + "</ul>"


def png(figure: Figure) -> bytes:
    """A matplotlib figure as PNG bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()


def picture(content: bytes, description: str) -> str:
    """A PNG on white with an alternative text."""
    source = _uri(content, "png")
    return f'<figure class="figure"><img alt="{escaped(description)}" src="{source}"></figure>'


def thumbnails(pictures: Sequence[tuple[np.ndarray, str]]) -> str:
    """Thumbnails of gray images (H, W) uint8 with captions."""
    made = []
    for pixels, caption in pictures:
        file = io.BytesIO()
        small = Image.fromarray(pixels)
        small.thumbnail((136, 136))
        small.save(file, "JPEG", quality=80)
        made.append(f'<figure><img alt="{escaped(caption)}" src="{_uri(file.getvalue(), "jpeg")}">'
                    f"<figcaption>{escaped(caption)}</figcaption></figure>")
    return f'<div class="thumbs">{"".join(made)}</div>'


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
