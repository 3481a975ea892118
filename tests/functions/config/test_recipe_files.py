from pathlib import Path

import pytest

from functions.config.recipe_files import read_yaml
from functions.runtime.errors import UserError

BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij",
                                                                                      strict=True))


@pytest.fixture
def refusal(tmp_path):
    """What is said about a file of some content, a str or bytes."""
    path = tmp_path / "mine.yaml"

    def read(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError) as error:
            read_yaml(path)
        assert "mine.yaml" in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600
        return str(error.value)

    return read


def test_an_empty_recipe_gives_nothing_and_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "a.yaml").write_text("# nothing\n")
    (tmp_path / "b.yaml").write_bytes(b"\xef\xbb\xbflr: 1e-3\r\n")
    assert read_yaml(tmp_path / "a.yaml") == {}
    assert read_yaml(tmp_path / "b.yaml") == {"lr": "1e-3"}


@pytest.mark.parametrize("bomb", [BOMB, "a: &a 1\nlr: *a\n", "a: &a [*a]\n"])
def test_an_alias_is_refused_with_its_line(refusal, bomb):
    assert "line 2 refers to another value" in refusal(bomb) or "line 1 refers" in refusal(bomb)


@pytest.mark.parametrize("text", ["lr: 1\nepochs: 3\nlr: 2\n", "{lr: 1, lr: 1}", '"lr": 1\nlr: 2\n', "a: {b: 1, b: 2}"])
def test_a_key_given_twice_is_refused(refusal, text):
    assert "a second time" in refusal(text)


@pytest.mark.parametrize("text", ["[" * 600, "a: " + "{a: " * 600, "- " * 600 + "a"])
def test_deep_nesting_is_a_line(refusal, text):
    assert "nested too deeply" in refusal(text)


@pytest.mark.parametrize("content", [
    "lr: !!int ''", "lr: !!timestamp x", "lr: !!bool x", "lr: !!float ''", "lr: !!python/object/apply:os.system [ls]",
    "lr: !mine 3", "lr: \x07", "? [a]\n: 1", "a: b: c", b"\xff\xfe\x00", b"lr: \xe9"])
def test_whatever_else_is_no_plain_yaml_is_a_line(refusal, content):
    refusal(content)


def test_a_file_of_another_kind_is_not_read_at_all(refusal):
    assert "100,001 bytes" in refusal("#" * 100_001)


@pytest.mark.parametrize("text", [
    "1:30", "190:20:30", "0o17", "010", "0x1f", "0b11", "1_000", "+12", "1e3", ".inf", ".nan", "yes", "no", "on", "off",
    "Yes", "y", "n", "truely", "nullx", "~x", "2024-01-01", "=", "2001-12-14t21:59:43.10-05:00", "<<"])
def test_what_yaml_1_1_takes_for_something_else_is_read_as_the_text_that_is_written(tmp_path, text):
    (tmp_path / "a.yaml").write_text(f"lr: {text}\n{text}: [{text}]\n")
    assert read_yaml(tmp_path / "a.yaml") == {"lr": text, text: [text]}


def test_true_false_and_null_are_what_they_are_unless_they_are_quoted(tmp_path):
    (tmp_path / "a.yaml").write_text("a: true\nb: False\nc: null\nd:\ne: ~\nf: 'true'\ng: \"null\"\nh: ''\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": True, "b": False, "c": None, "d": None, "e": None, "f": "true",
                                              "g": "null", "h": ""}


@pytest.mark.parametrize("text", ["lr: !!int 3", "lr: !!str 3", "lr: ! 3", "!!set {lr}", "lr: !!binary eA=="])
def test_a_tag_is_refused_with_its_line(refusal, text):
    assert "line 1 has a tag" in refusal(text)


def test_a_file_that_the_system_does_not_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "r.yaml").touch()

    def refuse(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError, match=r"r\.yaml cannot be read \(Input/output error\)"):
        read_yaml(tmp_path / "r.yaml")
