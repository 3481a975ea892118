import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from functions.reports import html_page
from functions.runtime.errors import printable


class Reader(HTMLParser):
    """Checks that tags close in order; keeps what is shown and what is linked."""

    VOID = {"meta", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources, self.started = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.started.append((tag, [name for name, _ in attributes]))
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_a_page_is_whole_needs_no_network_and_shows_everything():
    figure = Figure()
    figure.subplots().plot([1, 2])
    text = html_page.page("Run <1>", ["LEAKY SPLIT"], [
        ("Table", html_page.table(["a", "b"], [["x & y", 0.5]])),
        ("List", html_page.items([("fine", False), ("bad <b>", True)])),
        ("Figure", html_page.picture(html_page.png(figure), "a line")),
        ("Small", html_page.thumbnails([(np.zeros((300, 200), np.uint8), "slice 1")])),
        ("Words", html_page.paragraphs("one", "two")),
    ])
    reader = read(text)
    shown = " ".join(reader.text)
    for words in ("Run <1>", "LEAKY SPLIT", "x & y", "bad <b>", "slice 1", "two"):
        assert words in shown
    assert len(reader.sources) == 2
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert not re.search(r"https?://|@import|<script", text)
    assert "prefers-color-scheme: dark" in text
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:" in text, "no script could run"
    assert "width=device-width" in text


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</style><script>",
           "javascript:alert(1)", "&lt;b&gt;", "<!--", "]]>", "a\x00b\x1b[31m", "\udcff\ud800", "\u202etxt.exe", "a\nb"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_wherever_it_stands(text):
    """Class names, patients, file names, stamps, whatever metrics.json and audit.json hold."""
    figure = Figure()
    made = html_page.page(text, [text], [(text, html_page.table([text], [[text, {"a": text}]])
                                          + html_page.paragraphs(text)
                                          + html_page.items([(text, True), (text, False)])
                                          + html_page.picture(html_page.png(figure), text)
                                          + html_page.thumbnails([(np.zeros((9, 9), np.uint8), text)]))])
    made.encode("utf-8")
    reader = read(made)
    ours = "html head meta title style body h1 h2 p section div table thead tbody tr th td ul li figure img figcaption"
    assert {tag for tag, _ in reader.started} <= set(ours.split())
    assert {name for _, names in reader.started for name in names} <= {
        "lang", "charset", "name", "content", "http-equiv", "class", "alt", "src"}
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert "".join(reader.text).count(printable(text)) >= 8
    assert not any(letter < " " and letter != "\n" for letter in made)
