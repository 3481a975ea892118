"""One line of a function's source replaced, for the time of a test."""

import importlib
import inspect
import textwrap


def undo(monkeypatch, module: str, name: str, text: str, replacement: str) -> None:
    """Compiles `module`'s function `name` ("f" or "Class.f") again with `text` replaced; it must occur once."""
    module = importlib.import_module(module)
    *path, last = name.split(".")
    owner = module if not path else getattr(module, path[0])
    source = textwrap.dedent(inspect.getsource(getattr(owner, last)))
    assert source.count(text) == 1, f"{name} holds {text!r} {source.count(text)} times"
    found = {}
    exec(compile(source.replace(text, replacement), module.__file__, "exec"), module.__dict__, found)
    monkeypatch.setattr(owner, last, found[last])
