import re
from html.parser import HTMLParser

import numpy as np
from matplotlib.figure import Figure

from functions import html_page


class Reader(HTMLParser):
    """Checks that tags close in order; keeps what is shown and what is linked."""

    VOID = {"meta", "img", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources = [], [], []

    def handle_starttag(self, tag, attributes):
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
        ("Figure", html_page.picture(figure, "a line")),
        ("Small", html_page.thumbnails([(np.zeros((300, 200), np.uint8), "slice 1")])),
        ("Words", html_page.words("one", "two")),
    ])
    reader = read(text)
    shown = " ".join(reader.text)
    for words in ("Run <1>", "LEAKY SPLIT", "x & y", "bad <b>", "slice 1", "two"):
        assert words in shown
    assert len(reader.sources) == 2
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert not re.search(r"https?://|@import|<script", text)
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
