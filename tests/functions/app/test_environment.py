import os
import re
import socket
import time

import pytest

from functions.app import environment
from functions.app.environment import check_gradio, check_port, discard, isolated, sweep
from functions.runtime.errors import UserError


def test_a_missing_gradio_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=re.escape("pip install -r requirements-app.txt")):
        check_gradio()


def test_a_port_in_use_is_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port} cannot be used \(.+\): is the page running"):
            check_port(port)
    check_port(port)


def test_settings_from_outside_do_not_reach_gradio_and_come_back(monkeypatch):
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    before, found = dict(os.environ), {}

    def fail():
        with isolated() as folder:
            found.update(os.environ, folder=folder, mode=folder.stat().st_mode & 0o777)
            (folder / "a").mkdir()
            (folder / "a" / "left.png").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert {name: value for name, value in found.items() if name.startswith("GRADIO_")} == {
        "GRADIO_TEMP_DIR": str(found["folder"]), "GRADIO_ANALYTICS_ENABLED": "False"}
    assert found["NO_PROXY"] == "*"
    assert found["mode"] == 0o700, "other users of the computer do not read uploads"
    assert not found["folder"].exists()
    assert dict(os.environ) == before


def test_only_files_in_the_upload_folder_are_deleted_with_the_folder_they_were_alone_in(tmp_path):
    folder, outside = tmp_path / "uploads", tmp_path / "mine.png"
    for name in ("one/a.png", "two/a.png", "two/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    outside.touch()
    (folder / "top.png").touch()
    discard([str(folder / name) for name in ("one/a.png", "two/a.png", "top.png", "../mine.png", "two", "gone.png")]
            + [str(outside), str(folder)], folder)
    assert outside.exists()
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == ["two", "two/b.png"]


def test_uploads_without_an_answer_are_deleted_when_they_are_old(tmp_path):
    for name in ("old/a.png", "new/b.png", "both/old.png", "both/new.png", "top-old"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        if "old" in name:
            os.utime(tmp_path / name, (time.time() - 400,) * 2)
    (tmp_path / "empty").mkdir()
    sweep(tmp_path, 300)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == ["both", "both/new.png", "new", "new/b.png"]
