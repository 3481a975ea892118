import ast
import re
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from functions.reports.audit_report import AuditContent
from functions.reports.evaluation_text import EvaluationContent
from functions.reports.html_page import TEMPLATES, Finding, Table, picture, render, thumbnails
from functions.reports.run_report import RunContent
from functions.runtime.errors import printable

ROOT = Path(__file__).resolve().parents[3]


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


def contents(text):
    """What the three pages show, with this text wherever one can stand."""
    small = thumbnails([(np.zeros((300, 200), np.uint8), text)])
    drawn, pairs = [picture(Figure(), text)], Table([text, "value"], [[text, {"a": text}]], pairs=True)
    table = Table([text, "count"], [[text, 1], [text, "2,000"]], text)
    found = [Finding(text, True), Finding(text, False)]
    evaluation = EvaluationContent(text, text, text, drawn, [(text, [table])], [text], drawn, text, small)
    return {"evaluation.html.j2": {"evaluation": evaluation},
            "run.html.j2": {"evaluation": evaluation, "run": RunContent(
                found, drawn, table, [text], pairs, pairs, text, pairs, [text])},
            "audit.html.j2": {"audit": AuditContent(text, text, found, [(text, small)], [(text, table)], [text])}}


@pytest.fixture(scope="module", params=["evaluation.html.j2", "run.html.j2", "audit.html.j2"])
def template(request):
    return request.param


def test_a_page_is_whole_needs_no_network_and_shows_everything(template):
    text = render(template, "Run <1>", ["LEAKY SPLIT"], **contents("x & y <b>")[template])
    reader = read(text)
    shown = " ".join(reader.text)
    for words in ("Run <1>", "LEAKY SPLIT", "x & y <b>", "2,000"):
        assert words in shown
    assert reader.sources
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert not re.search(r"https?://|@import|<script|[{}]{2}|{%", text)
    assert "prefers-color-scheme: dark" in text
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.replace("&#39;", "'") == "default-src 'none'; img-src data:; style-src 'unsafe-inline'", "no script"
    assert "width=device-width" in text


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</style><script>",
           "javascript:alert(1)", "&lt;b&gt;", "<!--", "]]>", "a\x00b\x1b[31m", "\udcff\ud800", "\u202etxt.exe", "a\nb",
           "{{ 7 * 7 }}{% raw %}", "\u05d0\u05d1", "w" * 300, "\x85\u2028\u200b"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup_wherever_it_stands(template, text):
    """Class names, patients, file names, caveats, whatever metrics.json and audit.json hold."""
    made = render(template, text, [text], **contents(text)[template])
    made.encode("utf-8")
    reader = read(made)
    ours = ("html head meta title style body h1 h2 h3 p section div table thead tbody tr th td ul li figure img "
            "figcaption details summary")
    assert {tag for tag, _ in reader.started} <= set(ours.split())
    assert {name for _, names in reader.started for name in names} <= {
        "lang", "charset", "name", "content", "http-equiv", "class", "alt", "src", "scope", "role", "tabindex",
        "aria-label"}
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert "".join(reader.text).count(printable(text)) >= 10
    assert not any(letter < " " and letter != "\n" for letter in made)
    assert "49" not in re.sub("data:[^\"]*", "", made).split("</style>")[1]


def test_a_name_that_is_not_given_is_an_error():
    with pytest.raises(UndefinedError):
        render("audit.html.j2", "x", [])


def test_columns_of_counts_are_aligned_and_others_are_not():
    table = Table(["class", "slices", "value"], [["1", "2,000", "0.500 [0.400 to 0.600]"], ["b", 3, "-"]])
    assert table.counts == [False, True, False]
    assert Table(["a"], []).counts == [False]
    assert [Table.is_number(cell) for cell in ("0.5", "-0.1 [-0.2 to 0.3]", "-", "x 1", 3)] == [True, True, False,
                                                                                               False, True]


def test_html_is_in_templates_alone():
    tags = re.compile(r"</?(html|head|body|div|p|ul|li|table|tr|td|th|h[1-6]|img|figure|section|span|details)[ >]")
    files = [*ROOT.glob("*.py"), *(path for folder in ("functions", "data_setup", "models", "tools", "benchmarks")
                                   for path in (ROOT / folder).rglob("*.py"))]
    holding = [path.name for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
               if isinstance(node, ast.Constant) and isinstance(node.value, str) and tags.search(node.value)]
    assert len(files) > 100
    assert holding == []


def test_the_templates_are_installed_with_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]["functions.reports"]
    names = [path.relative_to(TEMPLATES.parent).as_posix() for path in TEMPLATES.iterdir()]
    assert len(names) >= 6
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in names)
    assert "jinja2>=" in (ROOT / "requirements.txt").read_text(encoding="utf-8")
