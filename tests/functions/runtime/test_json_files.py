import math
from dataclasses import dataclass

import pytest

from functions.runtime.errors import UserError
from functions.runtime.json_files import build, check, read_json
from tests.conftest import NO_FILES


@dataclass
class Inner:
    share: float
    count: int


@dataclass
class Outer:
    name: str
    inner: dict[str, Inner]
    marks: list[str]
    sure: bool = False
    number: int = 0


GOOD = {"name": "x", "inner": {"a": {"share": 1, "count": 2}, "b": {"share": None, "count": 0}}, "marks": ["m"],
        "sure": True, "number": 3, "another": [None]}


def changed(*keys, to):
    copy = eval(repr(GOOD))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    if to is None and keys[-1] not in ("share",):
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return copy


def test_what_fits_is_accepted(tmp_path):
    check(Outer, GOOD, tmp_path)
    check(Outer, changed("sure", to=None), tmp_path)
    check(Outer, changed("inner", to={}), tmp_path)


@pytest.mark.parametrize(("content", "complaint"), [
    (changed("name", to=None), '"name" is missing'),
    (changed("name", to=3), '"name" is 3, not text'),
    (changed("inner", "a", "count", to=None), '"inner.a.count" is missing'),
    (changed("inner", "a", "count", to=1.5), '"inner.a.count" is 1.5, not an integer'),
    (changed("inner", "a", "count", to=True), '"inner.a.count" is True, not an integer'),
    (changed("inner", "a", "share", to="0.5"), "\"inner.a.share\" is '0.5', not a number"),
    (changed("inner", "a", "share", to=float("nan")), '"inner.a.share" is nan, not a finite number'),
    (changed("inner", "a", "share", to=float("inf")), '"inner.a.share" is inf, not a finite number'),
    (changed("inner", "a", "share", to=10**400), '"inner.a.share" is 1000'),
    (changed("inner", "a", to=[]), '"inner.a" is [], not an object'),
    (changed("inner", to=[]), '"inner" is [], not an object'),
    (changed("marks", to="text"), "\"marks\" is 'text', not a list"),
    (changed("marks", to=["a", 1]), '"marks[1]" is 1, not text'),
    (changed("sure", to=1), '"sure" is 1, not true or false'),
    (changed("number", to="3"), "\"number\" is '3', not an integer"),
    (changed("inner", "a", "count", to=10**400), '"inner.a.count" is 1000'),
    (changed("inner", "a", "count", to=-2**53), '"inner.a.count" is -9007199254740992, an integer above 2**53'),
    ([], "the top level is [], not an object"),
])
def test_what_does_not_fit_is_one_line_with_file_and_key(content, complaint, tmp_path):
    with pytest.raises(UserError) as error:
        check(Outer, content, tmp_path / "file.json")
    assert f"file.json is damaged: {complaint}" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(("text", "complaint"), [
    ("", "Expecting value"), ("[]", "not a JSON object"), ("3", "not a JSON object"),
    ('{"a": NaN}', "NaN is not a number"),
    ('{"a": -Infinity}', "-Infinity is not a number"), ('{"a": 1, "a": 2}', '"a" is repeated'),
    ("[" * 200_000, "nested too deeply"), ('{"a":' * 100_000, "nested too deeply"),
    ('{"a": 1' + "0" * 5000 + "}", "digits"),
    (r'{"a": [{"b": "x\ud800"}]}', '"a[0].b" contains a lone surrogate'), (r'{"a": "\u0000"}', '"a" contains a NUL'),
    (r'{"a": {"x\udfff": 1}}', "contains a lone surrogate"), (r'{"a\u0000": 1}', "contains a NUL"),
    (b'{"a": "\xff"}', "utf-8"), (b"\xef\xbb\xbf{}", "BOM"), (b'{"a": "\n"}', "control character"),
])
def test_what_is_no_json_is_one_line(text, complaint, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        read_json(path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_two_surrogates_that_are_one_letter_are_read(tmp_path):
    (tmp_path / "a.json").write_text(r'{"a": "\ud83d\ude00"}')
    assert read_json(tmp_path / "a.json") == {"a": "\U0001f600"}


@pytest.mark.parametrize(("kind", "make"), NO_FILES.items())
def test_what_is_no_file_is_not_opened(kind, make, tmp_path):
    make(tmp_path / "a.json")
    with pytest.raises(UserError, match=f"a.json: {kind}"):
        read_json(tmp_path / "a.json")


def test_what_is_checked_is_built_with_nan_for_null_and_without_other_entries(tmp_path):
    check(Outer, GOOD, tmp_path / "x.json")
    built = build(Outer, GOOD)
    assert (built.name, built.marks, built.sure, built.number) == ("x", ["m"], True, 3)
    assert built.inner["a"] == Inner(1, 2)
    assert math.isnan(built.inner["b"].share)
    assert build(Outer, {key: value for key, value in GOOD.items() if key != "number"}).number == 0
