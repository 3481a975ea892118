import os
import re

import pytest

from functions.reports.markdown_text import cell, code, row, write_between
from functions.runtime.errors import UserError

HOSTILE = ["a|b", "<script>alert(1)</script>", "<!-- end of results -->", "[x](javascript:alert(1))", "`code`",
           "**bold**", "a\nb", "a\x1b[31mb", "back\\slash|", "&lt;", "$x$"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("how", [cell, code])
def test_a_name_ends_no_cell_and_starts_no_markup(text, how):
    made = how(text)
    assert made.isprintable()
    assert "<" not in made
    assert not re.search(r"(?<!\\)(\\\\)*\|", made), "an unescaped bar ends the cell"
    if how is code:
        assert made.count("`") == 2
    else:
        assert not re.search(r"(?<!\\)(\\\\)*[\[`*$]", made)


def test_plain_names_stay_as_they_are():
    assert (cell("mri_cpu-2 (x)"), code("--split auto")) == ("mri_cpu-2 (x)", "`--split auto`")
    assert row(["a", "b"]) == "| a | b |"


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing.md", "."):
        with pytest.raises(UserError, match="is not a file with the lines"):
            write_between(tmp_path / name, "<!-- a -->", "<!-- b -->", ["x"])


def test_a_link_stays_a_link_to_the_file_that_is_changed(tmp_path):
    (tmp_path / "page.md").write_text("a\n<b>\n<e>\nz\n")
    (tmp_path / "link.md").symlink_to("page.md")
    write_between(tmp_path / "link.md", "<b>", "<e>", ["| x |"])
    assert (tmp_path / "link.md").is_symlink()
    assert "| x |" in (tmp_path / "page.md").read_text()
