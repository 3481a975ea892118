import io
import sys

import pytest

from functions.config.parser import OneLineParser
from functions.runtime.errors import UserError, printable
from functions.runtime.exits import one_line_errors
from functions.runtime.terminal import SafeOutput

HOSTILE = "a\x1b]0;owned\x07\x1b[31m\x9b2J\u202egnp\x08\r\nWRONG \udcff\x7f\u200b.png"
ESCAPED = r"a\x1b]0;owned\x07\x1b[31m\x9b2J\u202egnp\x08\r\nWRONG \xff\x7f\u200b.png"


def test_names_of_others_become_one_harmless_line():
    assert printable(HOSTILE) == ESCAPED
    assert printable("Démence légère (漢字) $1 → 50 % – ±½") == "Démence légère (漢字) $1 → 50 % – ±½"
    assert printable(7) == "7"


def test_printed_text_keeps_its_lines_and_loses_control_codes():
    stream = io.StringIO()
    print("one\t1", "two\x1b[31m", sep="\n", file=SafeOutput(stream))
    SafeOutput(stream).writelines(["three\x07\n", "four"])
    assert stream.getvalue() == "one\t1\ntwo\\x1b[31m\nthree\\x07\nfour"
    assert not SafeOutput(stream).isatty()


def test_a_script_prints_no_control_codes_of_others(capsys):
    before = sys.stdout
    with one_line_errors():
        print(f"reading {HOSTILE.splitlines()[0]}")
    assert sys.stdout is before
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [UserError(HOSTILE), OSError(2, "No such file", HOSTILE),
                                   KeyboardInterrupt(HOSTILE)])
def test_an_error_shows_no_control_codes_of_others(capsys, error):
    with pytest.raises(SystemExit), one_line_errors():
        raise error
    shown = capsys.readouterr().err.strip("\n")
    assert shown.isprintable()
    assert "owned" in shown


def test_the_command_line_shows_no_control_codes_of_others(capsys):
    with pytest.raises(SystemExit):
        OneLineParser().parse_args([f"--{HOSTILE}"])
    assert capsys.readouterr().err.strip("\n").isprintable()
