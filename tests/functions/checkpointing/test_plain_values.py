import pytest
import torch

from functions.checkpointing.plain_values import (
    dense,
    finite,
    key,
    known_names,
    plain,
    shown,
    text,
    texts,
    whole_number,
)
from functions.runtime.errors import UserError
from tests.functions.plain import HOSTILE, refusal

CHECKS = (finite, whole_number, text, texts, plain, dense)


@pytest.mark.parametrize("check", CHECKS)
def test_any_value_passes_or_is_one_short_line_that_names_the_key(check):
    lines = [line for value in HOSTILE if (line := refusal(lambda value=value: check("a.b", value)))]
    assert len(lines) > 5
    assert all(line.startswith("a.b ") and len(line) < 200 for line in lines)


@pytest.mark.parametrize(("check", "value"), [
    (finite, 0), (finite, -1.5), (finite, 2**53 - 1), (finite, 1e30), (whole_number, 0), (whole_number, 2**53 - 1),
    (text, ""), (text, "é☃\n"), (texts, []), (texts, ["a"]), (plain, [1, "x", None, True]), (plain, None),
    (dense, torch.ones(2)), (dense, torch.tensor(1)), (dense, torch.ones(2, 3).T)])
def test_what_fits_passes(check, value):
    check("a", value)


@pytest.mark.parametrize(("check", "value"), [
    (finite, True), (finite, 2**53), (finite, 10**400), (finite, 1e31), (finite, "1"), (whole_number, 1.0),
    (whole_number, False), (whole_number, 2**53), (text, "\ud800"), (text, "a\0"), (text, "x" * 4097), (text, b"x"),
    (texts, ("a",)), (texts, ["\udfff"]), (plain, [[1]]), (plain, "\0"), (plain, 10**400), (dense, [1.0]),
    (dense, torch.ones(1).expand(9))])
def test_what_does_not_fit_is_refused(check, value):
    with pytest.raises(UserError, match="^a "):
        check("a", value)


def test_bounds_are_named():
    with pytest.raises(UserError, match="a is int 5, not an integer from 1 to 4"):
        whole_number("a", 5, 1, 4)
    with pytest.raises(UserError, match="a has 6 characters, more than 5"):
        texts("a", ["x" * 6], 5)


def test_names_are_the_known_ones():
    known_names("a", {"x": 1, "y": 2}, ("x",), ("y", "z"))
    with pytest.raises(UserError, match="a.x is missing"):
        known_names("a", {"y": 2}, ("x",), ("y", "z"))
    with pytest.raises(UserError, match="a.w is unexpected; expected one of x, y"):
        known_names("a", {"x": 1, "w": 2}, ("x",), ("y",))


def test_what_is_shown_is_short():
    assert all(len(shown(value)) <= 60 and len(key(value)) <= 60 for value in HOSTILE)
    assert shown(10**400) == "of 1329 bits"
