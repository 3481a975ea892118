import json

import pytest

from functions.checkpointing.run_record import parse_record
from functions.runtime.errors import UserError
from tests.functions.plain import json_variants, refusal

RECORD = {"settings": {"lr": 0.1, "cwd": "/x"}, "fingerprint": "f", "state": "created", "stamps": [],
          "class_names": ["AD", "CN"]}


def parse(path, **changes):
    return parse_record(json.dumps(RECORD | changes).encode(), path)


def test_a_valid_record_is_what_was_written_unknown_entries_too(tmp_path):
    more = {"processes": 4, "best_epoch": 3, "seconds": {"train": 1.5, "final": None}, "commit": None, "cuda": None,
            "feature_seconds": 0, "of a later version": [1, {}]}
    assert parse(tmp_path / "run.json", **more) == RECORD | more


@pytest.mark.parametrize(("key", "value", "words"), [
    ("processes", 0, '"processes" is 0'), ("processes", -3, "processes"), ("processes", 1.0, "not an integer"),
    ("processes", True, '"processes" is True'), ("processes", "2", "processes"), ("processes", 10**9, "processes"),
    ("processes", None, '"processes" is None'),
    ("best_epoch", 0, "best_epoch"), ("best_epoch", "1", "best_epoch"), ("state", "done", "none of created"),
    ("state", 3, "state"), ("settings", [], "settings"), ("settings", {"cwd": 3}, "settings.cwd"),
    ("settings", {"train_dir": 3}, "settings.train_dir"), ("settings", {"demo": "no"}, "settings.demo"),
    ("stamps", "LEAKY SPLIT", "stamps"), ("stamps", [1], r"stamps\[0\]"), ("class_names", [], "class_names"),
    ("class_names", ["AD"], "class_names"), ("class_names", ["AD", "AD"], "class_names"),
    ("class_names", {"AD": 1}, "class_names"), ("class_names", ["AD", None], r"class_names\[1\]"),
    ("fingerprint", None, "fingerprint"), ("name", 3, "name"), ("split_sha256", 1, "split_sha256"),
    ("seconds", {"train": "1"}, "seconds.train"), ("seconds", 3, "seconds"), ("preprocessing", [], "preprocessing"),
    ("left_out", {}, "left_out"), ("commands", "train.py", "commands"), ("versions", {"torch": 2}, "versions.torch"),
    ("feature_seconds", "x" * 500, "feature_seconds"), ("feature_seconds", True, "not an integer or a number"),
    ("error", ["a"], "error"), ("precision", 16, "precision"),
    ("name", "../../precious", '"name": run name'), ("name", "", '"name": run name'), ("name", "a" * 300, '"name"'),
    ("stamps", ["x", "y" * 100_000], r"stamps\[1\]. has 100,000 characters, more than 1,000"),
    ("class_names", ["AD", "c" * 1001], r"class_names\[1\]"), ("notes", ["n" * 10_001], r"notes\[0\]"),
    ("commit", "\ud800", '"commit" contains a lone surrogate'), ("error", "a\0b", '"error" contains a NUL'),
    ("processes", 10**400, "an integer above 2"), ("feature_seconds", 10**400, "an integer above 2")])
def test_a_wrong_entry_is_a_line_with_file_and_key(tmp_path, key, value, words):
    with pytest.raises(UserError, match=rf"run\.json is damaged: .*{words}") as error:
        parse(tmp_path / "run.json", **{key: value})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("key", ["settings", "fingerprint", "state", "stamps", "class_names"])
def test_an_entry_of_every_run_must_be_there(tmp_path, key):
    content = {name: value for name, value in RECORD.items() if name != key}
    with pytest.raises(UserError, match=f'"{key}" is missing'):
        parse_record(json.dumps(content).encode(), tmp_path / "run.json")


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b"3", b'"x"', b'{"seconds": {"train": NaN}}', b'{"a": Infinity}', b'{"a": -Infinity}',
    b'{"settings": {"lr": 1e999}}', b"[" * 100_000, b'{"a": ' * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", b"\xff\xfe{",
    b'{"a": "\xe9"}', b"\0" * 100,
    b'{"state": "created", "state": "finished"}'])
def test_what_is_no_json_object_of_finite_numbers_is_a_line(tmp_path, text):
    with pytest.raises(UserError, match=r"run\.json is damaged( \(|: it is not a JSON object)") as error:
        parse_record(text, tmp_path / "run.json")
    assert "\n" not in str(error.value)


def test_the_longest_name_that_a_new_run_can_get_is_read(tmp_path):
    assert parse(tmp_path / "run.json", name="n" * 150 + "-123")["name"].endswith("-123")


def test_any_value_anywhere_is_a_line_or_is_read(tmp_path):
    whole = RECORD | {"name": "a", "run_id": "r", "processes": 1, "split_hash": "s", "preprocessing": {"mean": [0.1]},
                      "notes": ["n"], "left_out": ["l"], "weights": "w", "feature_seconds": 1.0, "error": None,
                      "commands": ["c"], "versions": {"torch": "2"}, "best_epoch": 1, "seconds": {"train": 1.5}}
    lines = [refusal(lambda text=text: parse_record(text.encode(), tmp_path / "run.json"))
             for text in json_variants(whole)]
    assert len(lines) / 3 < sum(map(bool, lines)) < len(lines)
