import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_setup.volumes.preparation import KEYS, NAME, describe_preparation, recorded_preparation, settings_of
from data_setup.volumes.slices import Settings
from functions.runtime.errors import UserError

SETTINGS = Settings(slices=5, size=(50, 40), spacing=1.5, bits=16, window="header")
FILE = Path("model.pt")


def test_settings_go_into_a_checkpoint_and_come_back(tmp_path):
    (tmp_path / "train").mkdir()
    assert recorded_preparation(tmp_path / "train") == {}
    assert settings_of({"mean": [0.5]}, FILE) is None
    (tmp_path / NAME).write_text(json.dumps(describe_preparation(SETTINGS)))
    for folder in (tmp_path, tmp_path / "train"):
        assert settings_of(recorded_preparation(folder) | {"mean": [0.5]}, FILE) == SETTINGS


@pytest.mark.parametrize(("key", "value"), [(KEYS[0], 0), (KEYS[0], True), (KEYS[0], None), (KEYS[1], [50]),
                                            (KEYS[1], [50, 1e9]), (KEYS[1], [50, 9999]), (KEYS[2], "1"), (KEYS[2], 1e9),
                                            (KEYS[3], 12), (KEYS[4], "header ")])
def test_impossible_settings_are_one_line_with_the_file(tmp_path, key, value):
    described = describe_preparation(SETTINGS) | {key: value}
    with pytest.raises(UserError, match=r"^model\.pt: "):
        settings_of(described, FILE)
    (tmp_path / NAME).write_text(json.dumps(described))
    with pytest.raises(UserError, match=NAME):
        recorded_preparation(tmp_path)


def test_a_file_without_a_window_is_of_percentiles():
    described = {key: value for key, value in describe_preparation(SETTINGS).items() if key != KEYS[4]}
    assert settings_of(described, FILE) == replace(SETTINGS, window="percentiles")


def test_a_damaged_file_is_one_line(tmp_path):
    for content in ("{", "[]", "{}"):
        (tmp_path / NAME).write_text(content)
        with pytest.raises(UserError, match=NAME):
            recorded_preparation(tmp_path)
